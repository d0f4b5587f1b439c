"""Guest RAM: one memfd or file, mapped at guest-physical address 0.

QEMU: backends/hostmem-memfd.c, system/physmem.c

A memfd is sparse and made on first use, so a machine may claim any amount of RAM and
an idle one costs nothing. RAM that is not shared lives in a memfd as well, which then
stays in this process: it is copied in a migration and no server may map it.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from typing import Protocol

from qemu_sim.errors import MigrationError, QMPError
from qemu_sim.fds import Fd
from qemu_sim.io import descriptor

_MAP_NORESERVE = 0x4000  # Linux include/uapi/asm-generic/mman-common.h; not in Python's mmap
_F_GET_SEALS = 1034  # Linux include/uapi/linux/fcntl.h
_PAGE = 4096


class Origin(Protocol):
    """Where RAM is, or comes from, that is no new memfd."""

    def take(self) -> Fd:
        """Return the descriptor that RAM is mapped from; the caller owns it."""

    def close(self) -> None:
        """Give back what is its own."""


class GuestMemory:
    """`size` bytes of RAM at guest-physical address 0.

    Besides bytes it knows what the simulated guest has allocated in it. Who allocated
    a block saves where it is, and claims it again in another process.
    """

    def __init__(
        self, size: int, shared: bool, name: str = "pc.ram", origin: Origin | None = None
    ) -> None:
        """Claim `size` bytes; `shared` allows others to map the descriptor.

        `name` is that of the block in a migration: the ID of a backend, if there is one.
        `origin` is this object's from now on.
        """
        if size <= 0:
            raise ValueError(f"guest RAM of {size} bytes")
        self.size = size
        self.shared = shared
        self.name = name
        self._origin = origin
        self._fd: Fd | None = None
        self._map: mmap.mmap | None = None
        # Page 0 is never given out: a null address stays a mistake.
        self._blocks: dict[int, int] = {0: min(_PAGE, size)}

    @property
    def is_named_file(self) -> bool:
        """Whether it is a file of the host, which another process opens by itself."""
        return self._origin is not None

    @property
    def fd(self) -> Fd:
        """The memfd or file, which stays this object's. Raises QMPError when there can be none."""
        if self._fd is None:
            self._fd = self._origin.take() if self._origin else make_memfd(self.size)
        return self._fd

    @property
    def map(self) -> mmap.mmap:
        """All of RAM as a writable buffer. Valid until `adopt` or `close`."""
        if self._map is None:
            self._map = _map(self.fd, self.size)
        return self._map

    @property
    def view(self) -> memoryview:
        """All of RAM, to take slices of without a copy."""
        return memoryview(self.map)

    def locate(self, address: int, length: int) -> tuple[mmap.mmap, int]:
        """Return the buffer that holds a guest range, and the offset within it.

        Raises IndexError for a range outside RAM.
        """
        if address < 0 or length < 0 or address + length > self.size:
            raise IndexError(f"guest RAM has no {length} bytes at {address:#x}")
        return self.map, address

    def read(self, address: int, length: int) -> bytes:
        """Return a copy of a guest range. Raises IndexError outside RAM."""
        ram, offset = self.locate(address, length)
        return ram[offset : offset + length]

    def write(self, address: int, data: bytes) -> None:
        """Store `data` in RAM. Raises IndexError outside RAM."""
        ram, offset = self.locate(address, len(data))
        ram[offset : offset + len(data)] = data

    def allocate(self, length: int, align: int = 16) -> int:
        """Return the address of `length` bytes for the guest's own use.

        They hold what the last owner left there. Raises QMPError when RAM is full.
        """
        end = 0
        for start in [*sorted(self._blocks), self.size]:
            address = -(-end // align) * align
            if address + length <= start:
                self._blocks[address] = length
                return address
            end = start + self._blocks.get(start, 0)
        raise QMPError(f"the simulated guest is out of memory: {length} bytes wanted")

    def claim(self, address: int, length: int) -> None:
        """Own a block that was allocated in another process.

        Raises MigrationError when it is outside RAM or somebody's already.
        """
        clash = any(
            address < start + size and start < address + length
            for start, size in self._blocks.items()
        )
        if clash or length <= 0 or address + length > self.size:
            raise MigrationError(f"guest RAM at {address:#x} cannot hold {length} bytes")
        self._blocks[address] = length

    def allocated(self) -> list[tuple[int, int]]:
        """Return (address, length) of what the simulated guest uses, in order."""
        return sorted(self._blocks.items())

    def free(self, address: int) -> None:
        """Give back what `allocate` or `claim` took."""
        del self._blocks[address]

    def extents(self) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of the parts that hold data, in order; the rest is zero."""
        return data_extents(self.fd, 0, self.size)

    def clear(self) -> None:
        """Make all of RAM zero, as it was at first; who has allocated what stays so."""
        for offset, length in self.extents():
            self.map.madvise(mmap.MADV_REMOVE, offset, length)

    def adopt(self, fd: Fd) -> None:
        """Replace RAM by the one of another process and own `fd`.

        Raises MigrationError, with `fd` closed and nothing changed, when it is not a
        memfd of this machine's RAM size, or the file that RAM is in here, or cannot be
        mapped: the source still runs then.
        """
        reason = self._mismatch(fd)
        if reason is not None:
            fd.close()
            raise MigrationError(reason)
        try:
            ram = _map(fd, self.size)
        except QMPError as error:
            fd.close()
            raise MigrationError(str(error)) from None
        self._drop()
        self._fd, self._map = fd, ram

    def _mismatch(self, fd: Fd) -> str | None:
        if self._origin is not None:
            same = os.path.sameopenfile(fd.fileno(), self.fd.fileno())
            return None if same else "the descriptor of guest RAM is not the file that it is in"
        if not _has_seals(fd):
            return f"the descriptor of guest RAM is not a memfd but {descriptor.kind(fd)}"
        size = os.fstat(fd.fileno()).st_size
        return f"guest RAM is {self.size} bytes, its memfd {size}" if size != self.size else None

    def close(self) -> None:
        """Close the descriptor. RAM is unmapped once nobody holds a view of it."""
        self._drop()
        if self._origin is not None:
            self._origin.close()

    def _drop(self) -> None:
        if self._fd is not None:
            self._fd.close()
        self._map = self._fd = None


def make_memfd(size: int) -> Fd:
    """Return a memfd of so many bytes. Raises QMPError in QEMU's words."""
    try:
        fd = Fd(os.memfd_create("guest-ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
    except OSError as error:
        raise QMPError(f"failed to create memfd: {error.strerror}") from None
    try:
        os.ftruncate(fd.fileno(), size)
    except OSError as error:
        fd.close()
        raise QMPError(f"failed to resize memfd to {size}: {error.strerror}") from None
    return fd


def data_extents(fd: Fd, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of what is no hole between two offsets of a file, in order."""
    while start < end:
        try:
            start = os.lseek(fd.fileno(), start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        if start >= end:
            return
        stop = min(end, os.lseek(fd.fileno(), start, os.SEEK_HOLE))
        yield start, stop - start
        start = stop


def _map(fd: Fd, size: int) -> mmap.mmap:
    try:
        return mmap.mmap(fd.fileno(), size, flags=mmap.MAP_SHARED | _MAP_NORESERVE)
    except OSError as error:
        raise QMPError(f"failed to map {size} bytes of guest RAM: {error.strerror}") from None


def _has_seals(fd: Fd) -> bool:
    """Whether it is memory, not a disk's: a memfd, or a file of tmpfs as POSIX's shared memory."""
    try:
        fcntl.fcntl(fd.fileno(), _F_GET_SEALS)
    except OSError:
        return False
    return True
