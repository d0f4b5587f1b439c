"""qemu.qmp.legacy: the synchronous client that QEMU's own tests use."""

import json
import sys

from qemu.qmp.legacy import QEMUMonitorProtocol


def main(path, script):
    client = QEMUMonitorProtocol(path)
    client.connect()
    replies = [client.cmd_raw(name, arguments) for name, arguments in script]
    events = [event["event"] for event in client.get_events(wait=5.0)]
    client.close()
    answers = [
        {"return": reply["return"]} if "return" in reply else {"error": reply["error"]["desc"]}
        for reply in replies
    ]
    json.dump({"answers": answers, "events": events}, sys.stdout)


main(sys.argv[1], json.loads(sys.argv[2]))
