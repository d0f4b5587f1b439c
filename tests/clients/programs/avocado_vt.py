"""avocado-framework-plugin-vt: a parser of its own, and an id with each command."""

import json
import os
import sys

from virttest.qemu_monitor import QMPCmdError, QMPMonitor, utils_logfile


class VM:
    """What the monitor asks of its machine."""

    name = "test"

    def check_capability(self, _flag):
        return False

    def get_pid(self):
        return None


def main(path, script):
    utils_logfile.set_log_file_dir(os.environ["HOME"])
    monitor = QMPMonitor(VM(), "test", {"monitor_filename": path})
    answers = []
    for name, arguments in script:
        try:
            answers.append({"return": monitor.cmd(name, arguments, debug=False)})
        except QMPCmdError as error:
            answers.append({"error": error.data["desc"]})
    events = [event["event"] for event in monitor.get_events()]
    monitor.close()
    json.dump({"answers": answers, "events": events}, sys.stdout)


main(sys.argv[1], json.loads(sys.argv[2]))
