"""The file that guest RAM is in, shared with whoever maps it, or as a private copy.

QEMU: system/physmem.c (file_ram_open, file_ram_alloc), backends/hostmem-file.c
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import tempfile
from typing import NamedTuple

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.host_path import host_path
from qemu_sim.virtio.memory import data_extents, make_memfd

_TOO_SMALL_SINCE = (8, 2, 0)  # before, a file that was too large did not match, either
_DIRECTORY_TOLD_SINCE = (8, 2, 0)  # before, a directory that is only read fails at mapping
_COPY = 1 << 24  # bytes at a time


class MemoryFile(NamedTuple):
    """An open file with `size` bytes of RAM at `offset`."""

    fd: Fd
    size: int
    offset: int
    shared: bool

    def take(self) -> Fd:
        """Return what the RAM is in: the file itself, or a memfd with what is in it now."""
        if self.shared:
            return self.fd.share()
        copy = make_memfd(self.size)
        for start, length in data_extents(self.fd, self.offset, self.offset + self.size):
            for at in range(start, start + length, _COPY):
                data = os.pread(self.fd.fileno(), min(_COPY, start + length - at), at)
                os.pwrite(copy.fileno(), data, at - self.offset)
        return copy

    def close(self) -> None:
        """Close the file; what was taken stays."""
        self.fd.close()


class Asked(NamedTuple):
    """What a client wants of a file."""

    path: str
    size: int
    id: str
    offset: int = 0
    shared: bool = False
    read_only: bool = False
    version: tuple[int, int, int] = (11, 1, 0)


def open_memory_file(asked: Asked) -> MemoryFile:
    """Open, or make, the file and map it once. Raises QMPError in QEMU's words."""
    fd, made = _open(asked)
    try:
        _fit(fd, asked)
        _try_to_map(fd, asked)
    except BaseException:
        fd.close()
        if made:
            os.unlink(host_path(asked.path))
        raise
    return MemoryFile(fd, asked.size, asked.offset, asked.shared)


def _open(asked: Asked) -> tuple[Fd, bool]:
    """Return the file, and whether it is new."""
    path = host_path(asked.path)
    flags = (os.O_RDONLY if asked.read_only else os.O_RDWR) | os.O_CLOEXEC
    try:
        try:
            return _checked(Fd(os.open(path, flags)), asked), False
        except FileNotFoundError:
            if asked.read_only:
                raise
            return Fd(os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)), True
        except IsADirectoryError:
            if asked.read_only:
                raise
            return _nameless(path, asked.id), False
    except OSError as error:
        raise QMPError(
            f"can't open backing store {asked.path} for guest RAM: {error.strerror}"
        ) from None


def _checked(fd: Fd, asked: Asked) -> Fd:
    is_directory = stat.S_ISDIR(os.fstat(fd.fileno()).st_mode)
    if is_directory and asked.version >= _DIRECTORY_TOLD_SINCE:
        fd.close()
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return fd


def _nameless(directory: bytes, id: str) -> Fd:
    """Return a file in the directory that nobody else can open."""
    prefix = f"qemu_back_mem.{id}.".encode()
    number, path = tempfile.mkstemp(dir=directory, prefix=prefix)
    os.unlink(path)
    return Fd(number)


def _fit(fd: Fd, asked: Asked) -> None:
    """Extend an empty file; one that has a size must hold the RAM."""
    found = os.fstat(fd.fileno())
    if not stat.S_ISREG(found.st_mode):
        return
    if found.st_size:
        check_fits(found.st_size, asked)
    elif not asked.read_only:
        try:
            os.ftruncate(fd.fileno(), asked.size + asked.offset)
        except OSError as error:
            raise _not_mapped(error.errno) from None


def check_fits(there: int, asked: Asked) -> None:
    """Raise QMPError in QEMU's words where `there` bytes do not hold the RAM."""
    if there >= asked.size + asked.offset:
        return
    if asked.version >= _TOO_SMALL_SINCE:
        raise QMPError(
            f"{asked.id} backing store size {there:#x} is too small for 'size' option"
            f" {asked.size:#x} plus 'offset' option {asked.offset:#x}"
        )
    raise QMPError(f"backing store size {there:#x} does not match 'size' option {asked.size:#x}")


def _try_to_map(fd: Fd, asked: Asked) -> None:
    access = mmap.PROT_READ if asked.read_only else mmap.PROT_READ | mmap.PROT_WRITE
    flags = mmap.MAP_SHARED if asked.shared else mmap.MAP_PRIVATE
    try:
        mmap.mmap(fd.fileno(), asked.size, flags, access, offset=asked.offset).close()
    except OSError as error:
        raise _not_mapped(error.errno) from None
    except ValueError:  # the file is shorter: one of the kernel's own that cannot be mapped
        raise _not_mapped(errno.EIO) from None


def _not_mapped(number: int | None) -> QMPError:
    if number == errno.EFBIG:
        number = errno.ENOMEM  # what cannot be in the file cannot be mapped
    return QMPError(f"unable to map backing store for guest RAM: {os.strerror(number or 0)}")
