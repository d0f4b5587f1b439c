"""A process that is one machine after another, so that a pair can hand over back and forth.

A machine that has migrated away stays postmigrate, as in QEMU; what goes on is its process.
Each line on stdin is a command line as a JSON list, or `census`. Answers are JSON lines:
`"ended"` when the machine is closed, or the census.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys

from qemu_sim.fds import open_descriptors
from qemu_sim.testing.in_process import InProcess


async def main() -> None:
    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    gc.freeze()  # as the program itself does once it runs
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    while line := await stdin.readline():
        if line == b"census\n":
            answer = census()
        else:
            await be(json.loads(line))
            answer = "ended"
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


async def be(argv: list[str]) -> None:
    """Be one machine to its end."""
    machine = InProcess("bench")
    await machine.start(argv)
    await machine.wait()


def census() -> dict:
    """Count what this process has, with no machine in it."""
    gc.collect()
    with open("/proc/self/status") as status:
        resident = next(line for line in status if line.startswith("VmRSS:"))
    return {
        "descriptors": len(open_descriptors()),
        "tasks": len(asyncio.all_tasks()),
        "objects": len(gc.get_objects()),
        "resident-kib": int(resident.split()[1]),
    }


asyncio.run(main())
