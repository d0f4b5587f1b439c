"""The synchronous client of QEMU's own tests: qemu.qmp.legacy, or the old copy of it on PyPI.

The first argument says whose; the copy calls differently what returns an error's reply.
"""

import importlib
import json
import sys


def main(package, path, script):
    client = importlib.import_module(package).QEMUMonitorProtocol(path)
    client.connect()
    ask = client.cmd if package == "qmp" else client.cmd_raw
    replies = [ask(name, arguments) for name, arguments in script]
    events = [event["event"] for event in client.get_events(wait=5.0)]
    client.close()
    answers = [
        {"return": reply["return"]} if "return" in reply else {"error": reply["error"]["desc"]}
        for reply in replies
    ]
    json.dump({"answers": answers, "events": events}, sys.stdout)


main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
