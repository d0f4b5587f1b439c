"""The dirty rate of memory that is really written to."""

import os

import pytest

from qemu_sim.clock import MILLISECOND, ManualClock
from qemu_sim.errors import QMPError
from qemu_sim.machine.dirty_rate import DirtyRate
from qemu_sim.migration.guest_load import GuestLoad
from qemu_sim.virtio.memory import GuestMemory

MIB = 1 << 20


def idle(memory, milliseconds):
    """What a guest dirties that is said to dirty nothing."""
    return 0


@pytest.fixture
def memory():
    made = GuestMemory(128 * MIB, shared=False)
    yield made
    made.close()


@pytest.fixture
def clock():
    return ManualClock()


async def measured(rate, clock):
    await clock.advance(50 * MILLISECOND - 1)
    assert rate.query(1)["status"] == "measuring"
    await clock.advance(1)
    return rate.query(1)["dirty-rate"]


async def test_all_of_it_written_once(memory, clock):
    rate = DirtyRate(lambda: memory, clock, idle)
    rate.start(50, "page-sampling", 128)
    with pytest.raises(QMPError, match="already being measured"):
        rate.check_idle()
    for page in range(0, memory.size, 4096):
        memory.write(page, b"x")
    assert await measured(rate, clock) == 128 * 1000 // 50


async def test_none_of_it_written(memory, clock):
    rate = DirtyRate(lambda: memory, clock, idle)
    rate.start(50, "dirty-bitmap", None)
    assert await measured(rate, clock) == 0
    rate.check_idle()


async def test_looking_takes_no_memory(memory, clock):
    rate = DirtyRate(lambda: memory, clock, idle)
    rate.start(50, "page-sampling", 16384)
    await measured(rate, clock)
    assert os.fstat(memory.fd.fileno()).st_blocks == 0


async def test_it_ends_with_the_machine(memory, clock):
    rate = DirtyRate(lambda: memory, clock, idle)
    rate.start(60_000, "page-sampling", None)
    rate.close()
    assert clock._timers == []


@pytest.mark.parametrize(
    ("load", "seen"),
    [(GuestLoad(300 * MIB), 300), (GuestLoad(900 * MIB, ram_used=30 * MIB), 30 * 20)],
)
async def test_what_the_guest_is_said_to_dirty(memory, clock, load, seen):
    rate = DirtyRate(lambda: memory, clock, load.dirtied)
    rate.start(50, "page-sampling", None)
    assert await measured(rate, clock) == seen  # 30 MiB in 50 ms are 600 a second
