"""qmp: an old copy of QEMU's own client, still on PyPI; one line of JSON at a time."""

import json
import sys

sys.path.pop(0)  # this folder, where this file has the client's name
from qmp import QEMUMonitorProtocol


def main(path, script):
    client = QEMUMonitorProtocol(path)
    client.connect()
    replies = [client.cmd(name, arguments) for name, arguments in script]
    events = [event["event"] for event in client.get_events(wait=5.0)]
    client.close()
    answers = [
        {"return": reply["return"]} if "return" in reply else {"error": reply["error"]["desc"]}
        for reply in replies
    ]
    json.dump({"answers": answers, "events": events}, sys.stdout)


main(sys.argv[1], json.loads(sys.argv[2]))
