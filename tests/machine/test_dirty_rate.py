"""The dirty rate of memory that is really written to."""

import asyncio

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.machine.dirty_rate import DirtyRate
from qemu_sim.virtio.memory import GuestMemory

MIB = 1 << 20


@pytest.fixture
def memory():
    made = GuestMemory(128 * MIB, shared=False)
    yield made
    made.close()


async def measured(rate):
    async with asyncio.timeout(10):
        while rate.status == "measuring":  # noqa: ASYNC110 - as a client does, with query-dirty-rate
            await asyncio.sleep(0.005)
    return rate.query(1)["dirty-rate"]


async def test_all_of_it_written_once(memory):
    rate = DirtyRate(lambda: memory)
    rate.start(50, "page-sampling", 128)
    with pytest.raises(QMPError, match="already being measured"):
        rate.check_idle()
    for page in range(0, memory.size, 4096):
        memory.write(page, b"x")
    assert await measured(rate) == 128 * 1000 // 50


async def test_none_of_it_written(memory):
    rate = DirtyRate(lambda: memory)
    rate.start(50, "dirty-bitmap", None)
    assert await measured(rate) == 0
    rate.check_idle()


async def test_looking_takes_no_memory(memory):
    import os

    rate = DirtyRate(lambda: memory)
    rate.start(50, "page-sampling", 16384)
    await measured(rate)
    assert os.fstat(memory.fd.fileno()).st_blocks == 0


async def test_it_ends_with_the_machine(memory):
    rate = DirtyRate(lambda: memory)
    rate.start(60_000, "page-sampling", None)
    rate.close()
    assert rate._timer.cancelled()
