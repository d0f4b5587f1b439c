"""Pages out of one memory, through a stream, into another."""

import asyncio
import os
import socket
from collections import Counter

import pytest

from qemu_sim.errors import MigrationError
from qemu_sim.io.channel import Channel
from qemu_sim.migration import ram
from qemu_sim.migration.ram import PAGE
from qemu_sim.migration.ram_blocks import RamBlocks
from qemu_sim.migration.stream import Stream
from qemu_sim.virtio.memory import GuestMemory

PAGES = 700  # more than go at once
HEADER = 8


@pytest.fixture
def memories():
    made = [GuestMemory(PAGES * PAGE, shared=False) for _ in range(2)]
    yield made
    for memory in made:
        memory.close()


@pytest.fixture
async def streams():
    made = [Stream(Channel(sock), 5, lambda *_: None) for sock in socket.socketpair()]
    yield made
    for stream in made:
        stream.close()


def fill(memory, numbers):
    for number in numbers:
        memory.write(number * PAGE + number % 4000, b"page %d" % number)


def taken(memory):
    """The bytes that the host has allocated; reading by the map allocates."""
    return os.fstat(memory.fd.fileno()).st_blocks * 512


async def load(stream, memory):
    await ram.load(stream, memory, RamBlocks(memory, Counter()))


async def copy(memories, streams, extents=None):
    """Copy what the first memory holds; return the bytes that it took."""
    source, destination = memories
    before = streams[0].sent_bytes
    loading = asyncio.create_task(load(streams[1], destination))
    for pieces in ram.pages(source, source.extents() if extents is None else extents):
        streams[0].write_pieces(pieces)
        await streams[0].flush()
    streams[0].write(ram.END_OF_PART)
    await streams[0].flush()
    await loading
    return streams[0].sent_bytes - before


async def test_all_pages_arrive(memories, streams):
    fill(memories[0], range(PAGES))
    size = await copy(memories, streams)
    assert memories[1].map[:] == memories[0].map[:]
    assert size == PAGES * (HEADER + PAGE) + len(b"\6pc.ram") + HEADER


async def test_scattered_pages_arrive_and_holes_stay(memories, streams):
    numbers = [0, 1, 2, 5, 130, 131, 400, PAGES - 1]
    fill(memories[0], numbers)
    await copy(memories, streams)
    assert taken(memories[1]) == len(numbers) * PAGE
    assert memories[1].map[:] == memories[0].map[:]


async def test_zero_pages_take_nine_bytes_and_no_memory(memories, streams):
    fill(memories[0], [3, 300])
    size = await copy(memories, streams, [(0, memories[0].size)])
    assert size == 2 * (HEADER + PAGE) + (PAGES - 2) * 9 + len(b"\6pc.ram") + HEADER
    assert taken(memories[1]) == 2 * PAGE
    assert memories[1].map[:] == memories[0].map[:]


async def test_a_page_that_became_zero_is_cleared(memories, streams):
    fill(memories[1], [7])
    await copy(memories, streams, [(7 * PAGE, PAGE)])
    assert memories[1].read(7 * PAGE, PAGE) == bytes(PAGE)


@pytest.mark.parametrize("count", [1, 200])
async def test_a_page_outside_ram_is_refused(memories, streams, count):
    fill(memories[0], range(PAGES))
    small = GuestMemory(count * PAGE, shared=False)
    with pytest.raises(MigrationError, match=f"Illegal RAM offset {count * PAGE:x}"):
        await copy([memories[0], small], streams, [(0, small.size + PAGE)])
    small.close()


async def test_an_unknown_kind_of_page_is_refused(memories, streams):
    streams[0].write((0x100).to_bytes(8, "big") + b"\6pc.ram")
    await streams[0].flush()
    with pytest.raises(MigrationError, match="Unknown combination of migration flags: 0x100"):
        await load(streams[1], memories[1])
