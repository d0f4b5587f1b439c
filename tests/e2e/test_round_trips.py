"""Many hand-overs, done and failed, leave each process with just the descriptors it needs."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from qemu_sim.fds import open_descriptors

PROCESSES = 20
ATTEMPTS = 30


def census(machine) -> Counter:
    """Count a process's descriptors by what they refer to."""
    names = open_descriptors(machine.pid).values()
    return Counter(re.sub(r"\[?\d+\]?", "", name) for name in names)


def test_twenty_processes_one_after_the_other(world):
    """No frame is lost on the way; the last process holds what the second did."""
    first = world.source()
    with ThreadPoolExecutor(2) as pool:
        names = (f"destination{number}" for number in range(PROCESSES))
        others = list(pool.map(lambda name: world.destination(name=name), names))
    world.use_disk(first)
    censuses = []
    with world.pinging() as counts:
        for source, destination in pairwise([first, *others]):
            outcome = source.migrate_to(destination)
            assert outcome.source.status == outcome.destination.status == "completed"
            assert {device.outcome for device in outcome.source.devices.values()} == {"transferred"}
            censuses.append(census(destination))
            source.kill()
    assert counts["received"] == counts["sent"]
    assert counts["duplicates"] == 0
    assert censuses == censuses[:1] * PROCESSES
    world.served_by(others[-1])


def test_failed_attempts_leave_nothing(world):
    """Each one fails when all descriptors have been adopted, and is rolled back."""
    source, destination = world.pair()
    before = None
    with world.pinging() as counts:
        for attempt in range(ATTEMPTS):
            destination.inject("refuse", at="descriptors-received")
            outcome = source.migrate_to(destination)
            assert outcome.source.status == outcome.destination.status == "failed"
            if attempt == 0:
                before = census(source), census(destination)
    assert (census(source), census(destination)) == before
    assert counts["received"] == counts["sent"]
    assert counts["duplicates"] == 0
    world.served_by(source, destination)
    assert source.migrate_to(destination).source.status == "completed"
    world.served_by(destination, source)
