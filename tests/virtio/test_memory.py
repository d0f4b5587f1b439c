"""Guest RAM: sparse, allocated once, and replaced only by what is guest RAM."""

from __future__ import annotations

import itertools
import os
import resource
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qemu_sim.errors import MigrationError, QMPError
from qemu_sim.fds import Fd, open_descriptors
from qemu_sim.virtio.memory import GuestMemory

MiB = 1 << 20


class File:
    """RAM that is in a file."""

    def __init__(self, file):
        self._file = file

    def take(self):
        return Fd.duplicate(self._file.fileno())

    def close(self):
        pass


@pytest.fixture
def memory():
    made = GuestMemory(MiB, shared=True)
    yield made
    made.close()


def test_64_gib_cost_nothing():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = GuestMemory(64 << 30, shared=True)
    memory.write((64 << 30) - 3, b"end")
    assert memory.read((64 << 30) - 4, 4) == b"\0end"
    assert list(memory.extents()) == [((64 << 30) - 4096, 4096)]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # KiB
    memory.close()


def test_nothing_is_open_before_the_first_use():
    before = open_descriptors()
    memory = GuestMemory(MiB, shared=False)
    memory.allocate(100)
    assert open_descriptors() == before
    memory.close()


def test_everything_is_closed():
    before = open_descriptors()
    memory = GuestMemory(MiB, shared=True)
    memory.write(5, b"x")
    view = memory.view[:10]
    memory.close()
    view.release()
    assert open_descriptors() == before


def test_extents(memory):
    assert list(memory.extents()) == []
    memory.write(8192, b"x" * 5000)
    memory.write(MiB - 1, b"x")
    assert list(memory.extents()) == [(8192, 8192), (MiB - 4096, 4096)]


@pytest.mark.parametrize(("address", "length"), [(-1, 1), (MiB, 1), (MiB - 1, 2), (0, -1)])
def test_outside_of_ram(memory, address, length):
    with pytest.raises(IndexError):
        memory.locate(address, length)


@given(st.lists(st.tuples(st.integers(1, 40_000), st.sampled_from([1, 16, 4096])), max_size=30))
def test_blocks_do_not_overlap(wanted):
    memory = GuestMemory(MiB, shared=False)
    blocks = []
    for position, (length, align) in enumerate(wanted):
        try:
            address = memory.allocate(length, align)
        except QMPError:
            continue
        assert address % align == 0
        assert 4096 <= address <= MiB - length
        blocks.append((address, length))
        if position % 3 == 2:
            memory.free(blocks.pop(0)[0])
    blocks.sort()
    assert all(start + size <= after for (start, size), (after, _) in itertools.pairwise(blocks))
    assert [(0, 4096), *blocks] == memory.allocated()


def test_out_of_memory(memory):
    with pytest.raises(QMPError, match="out of memory: 1048576 bytes wanted"):
        memory.allocate(MiB)


def test_claim(memory):
    memory.claim(8192, 100)
    with pytest.raises(MigrationError):
        memory.claim(8291, 1)
    with pytest.raises(MigrationError):
        memory.claim(MiB - 1, 2)
    memory.free(8192)
    memory.claim(8291, 1)


def test_adopted_ram_is_the_same(memory):
    memory.write(4096, b"hello")
    other = GuestMemory(MiB, shared=True)
    other.write(4096, b"before")
    other.adopt(memory.fd.share())
    assert other.read(4096, 5) == b"hello"
    other.write(4096, b"there")
    assert memory.read(4096, 5) == b"there"
    other.close()


def test_cleared_ram_is_as_it_was_at_first(memory):
    where = memory.allocate(100)
    memory.write(where, b"x" * 100)
    memory.write(MiB - 1, b"x")
    memory.clear()
    assert memory.read(0, MiB) == bytes(MiB)
    assert (where, 100) in memory.allocated()
    with tempfile.TemporaryFile(dir="/var/tmp") as file:
        file.write(b"x" * MiB)
        on_disk = GuestMemory(MiB, shared=True, origin=File(file))
        on_disk.clear()
        assert on_disk.read(0, MiB) == bytes(MiB)
        on_disk.close()


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no POSIX shared memory here")
def test_ram_may_be_a_file_of_shared_memory(memory):
    """As that of QEMU's memory-backend-shm."""
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        file.write(b"hello")
        file.truncate(MiB)
        memory.adopt(Fd.duplicate(file.fileno()))
    assert memory.read(0, 5) == b"hello"


def _sized(size):
    fd = Fd(os.memfd_create("x", os.MFD_ALLOW_SEALING))
    os.ftruncate(fd.fileno(), size)
    return fd


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fd(os.eventfd(0)), "not a memfd but eventfd"),
        (lambda: Fd(os.open("/dev/null", os.O_RDWR)), "not a memfd but /dev/null"),
        (lambda: _sized(MiB - 1), "guest RAM is 1048576 bytes, its memfd 1048575"),
    ],
)
def test_what_is_no_ram_is_refused(memory, make, words):
    memory.write(0, b"mine")
    fd = make()
    with pytest.raises(MigrationError, match=words):
        memory.adopt(fd)
    assert fd.closed
    assert memory.read(0, 4) == b"mine"
