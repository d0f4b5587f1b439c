"""Objects that are RAM: a file is really mapped, and what QEMU refuses is refused in its words."""

import os
from contextlib import contextmanager

import pytest

from qemu_sim.backends.iothread import IOThread
from qemu_sim.backends.memory_backend_file import MemoryBackendFile
from qemu_sim.backends.memory_backend_memfd import MemoryBackendMemfd
from qemu_sim.backends.memory_backend_ram import MemoryBackendRam
from qemu_sim.backends.memory_backend_shm import MemoryBackendShm
from qemu_sim.backends.object import Place
from qemu_sim.errors import QMPError

MIB = 1 << 20
NEW, OLD = Place(), Place(version=(7, 2, 22))


@contextmanager
def made(kind, options, place=NEW):
    backend = kind("m", options, place)
    try:
        yield backend.memory
    finally:
        backend.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ram"


def test_a_shared_file_is_the_ram(path):
    with made(MemoryBackendFile, {"size": MIB, "mem-path": str(path), "share": True}) as memory:
        assert path.stat().st_size == MIB
        memory.write(4096, b"guest")
        assert path.read_bytes()[4096:4101] == b"guest"
        with open(path, "r+b") as file:
            file.write(b"host")
        assert memory.read(0, 4) == b"host"


def test_a_private_file_stays_as_it_is(path):
    with open(path, "wb") as file:
        file.truncate(MIB)
        os.pwrite(file.fileno(), b"kept", 8192)
    with made(MemoryBackendFile, {"size": MIB, "mem-path": str(path)}) as memory:
        assert memory.read(8192, 4) == b"kept"
        memory.write(8192, b"lost")
        assert list(memory.extents()) == [(8192, 4096)]
    assert path.read_bytes()[8192:8196] == b"kept"


def test_a_private_copy_begins_at_the_offset(path):
    path.write_bytes(bytes(4096) + b"here".ljust(8192, b"\0"))
    options = {"size": 8192, "mem-path": str(path), "offset": 4096}
    with made(MemoryBackendFile, options) as memory:
        assert memory.read(0, 4) == b"here"


def test_a_name_with_a_zero_is_that_of_the_kernel(tmp_path):
    options = {"size": 4096, "mem-path": f"{tmp_path}/a\0b"}
    with made(MemoryBackendFile, options):
        assert os.listdir(os.fsencode(tmp_path)) == [b"a\xc0\x80b"]


def test_a_directory_gets_a_file_without_a_name(tmp_path):
    with made(MemoryBackendFile, {"size": 4096, "mem-path": str(tmp_path)}) as memory:
        memory.write(0, b"x")
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": 0}, "property 'size' of memory-backend-file doesn't take value '0'"),
        ({"size": 5000}, "backend 'memory-backend-file' memory size must be multiple of 4 KiB"),
        ({"size": 4096, "align": 3}, "alignment 0x3 must be multiples of page size 0x1000"),
        ({"size": 4096, "align": 12288}, "alignment 0x3000 must be a power of two"),
        ({"size": 4096, "offset": 1}, "offset 0x1 must be multiples of page size 0x1000"),
        (
            {"size": 4096, "rom": "on"},
            "property 'rom' = 'on' is not supported with 'readonly' = 'off'",
        ),
        (
            {"size": 1 << 60},
            "unable to map backing store for guest RAM: Cannot allocate memory",
        ),
    ],
)
def test_what_a_file_may_not_be(path, options, text):
    with pytest.raises(QMPError) as error:
        MemoryBackendFile("m", {"mem-path": str(path), **options}, NEW)
    assert str(error.value) == text
    assert not path.exists()


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (NEW, "m backing store size 0x1000 is too small for 'size' option 0x2000 plus 'offset'"),
        (OLD, "backing store size 0x1000 does not match 'size' option 0x2000"),
    ],
)
def test_a_file_that_is_too_small(path, place, text):
    path.write_bytes(bytes(4096))
    with pytest.raises(QMPError) as error:
        MemoryBackendFile("m", {"size": 8192, "mem-path": str(path)}, place)
    assert str(error.value).removesuffix(" option 0x0") == text
    assert path.exists()


@pytest.mark.parametrize(
    ("mem_path", "text"),
    [
        ("/nope/x", "can't open backing store /nope/x for guest RAM: No such file or directory"),
        ("", "can't open backing store  for guest RAM: No such file or directory"),
        ("/dev/null", "unable to map backing store for guest RAM: No such device"),
    ],
)
def test_a_file_that_cannot_be_mapped(mem_path, text):
    with pytest.raises(QMPError) as error:
        MemoryBackendFile("m", {"size": 4096, "mem-path": mem_path}, NEW)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        (
            MemoryBackendRam,
            {"prealloc-threads": 0},
            "property 'prealloc-threads' of memory-backend-ram doesn't take value '0'",
        ),
        (
            MemoryBackendRam,
            {"prealloc": True, "reserve": False},
            "'prealloc=on' and 'reserve=off' are incompatible",
        ),
        (MemoryBackendRam, {"policy": "bind"}, "host-nodes must be set for policy bind"),
        (
            MemoryBackendRam,
            {"policy": "bind", "host-nodes": [999]},
            "Invalid host-nodes value: 999",
        ),
        (
            MemoryBackendRam,
            {"policy": "preferred", "host-nodes": [127]},
            "cannot bind memory to host NUMA nodes: Invalid argument",
        ),
        (MemoryBackendRam, {"prealloc-context": "nope"}, "Device 'nope' not found"),
        (
            MemoryBackendRam,
            {"prealloc-context": "io"},
            "Invalid parameter type for 'prealloc-context', expected: thread-context",
        ),
        (
            MemoryBackendMemfd,
            {"hugetlb": True},
            "failed to resize memfd to 4096: Invalid argument",
        ),
        (MemoryBackendShm, {"share": False}, "can't create shm backend with `share=off`"),
    ],
)
def test_what_memory_may_not_be(kind, options, text):
    thread = IOThread("io", {})
    try:
        with pytest.raises(QMPError) as error:
            kind("m", {"size": 4096, **options}, Place({"io": thread}))
        assert str(error.value) == text
    finally:
        thread.close()


def test_shared_memory_is_a_memfd():
    with made(MemoryBackendShm, {"size": 4096}) as memory:
        assert memory.shared
        assert memory.read(0, 1) == b"\0"
