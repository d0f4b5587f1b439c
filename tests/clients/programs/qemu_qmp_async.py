"""qemu.qmp: the asynchronous client."""

import asyncio
import json
import sys

from qemu.qmp import ExecuteError, QMPClient


async def main(path, script):
    client = QMPClient("test")
    await client.connect(path)
    answers = []
    for name, arguments in script:
        try:
            answers.append({"return": await client.execute(name, arguments)})
        except ExecuteError as error:
            answers.append({"error": str(error)})
    # Its queue is cleared when the connection ends, which the last command does.
    events = [event["event"] for event in client.events.history]
    await client.disconnect()
    json.dump({"answers": answers, "events": events}, sys.stdout)


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
