"""A process in which an idle machine migrates, again and again, to a new one beside it.

Usage: idle_migrations.py BYTES-OF-RAM COUNT. The clocks are manual ones. Prints a JSON
object: the processor's seconds, and how much memory the process had taken at most when the
first 200 were done, in KiB. Later the heap only goes to pieces, as in any long run: by 1 MiB
more or less in thousands of migrations, with not one object more (`leaks` counts those).
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time

from qemu_sim.clock import SECOND
from qemu_sim.machine.machine import Machine
from qemu_sim.machine.options import MachineOptions
from qemu_sim.migration import address

_SETTLED = 200  # migrations after which everything is loaded
_LONG = 3600 * SECOND  # more than any of them takes
_CAPABILITIES = [{"capability": name, "state": True} for name in ("return-path", "events")]


async def main(size: int, count: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        uri = f"unix:{os.path.join(directory, 'migration')}"
        source = await _machine(size, incoming=False)
        for _ in range(_SETTLED):
            source = await _migrate(source, uri)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.process_time()
        for _ in range(count):
            source = await _migrate(source, uri)
        spent = time.process_time() - begun
        await source.close()
    sys.stdout.write(json.dumps({"seconds": spent, "peak-kib": peak}) + "\n")


async def _migrate(source: Machine, uri: str) -> Machine:
    destination = await _machine(source.memory.size, incoming=True)
    await destination.admission.listen(uri, None, {}, exit_on_error=False)
    passed = []
    source.events.subscribe(passed.append)

    found = address.parse(uri, None, source.profile.version)
    source.migration.start(lambda: found, source.admission.access({}), None)
    await source.clock.advance(_LONG)
    assert source.migration.query()["status"] == "completed", source.migration.query()
    assert destination.run_state.running
    assert [event["event"] for event in passed].count("MIGRATION_PASS") == 1
    await source.close()
    return destination


async def _machine(size: int, *, incoming: bool) -> Machine:
    machine = Machine(
        MachineOptions(machine_type="q35", memory_size=size, incoming=incoming, clock="manual")
    )
    machine.capabilities.set(_CAPABILITIES)
    await machine.start()
    return machine


asyncio.run(main(*map(int, sys.argv[1:])))
