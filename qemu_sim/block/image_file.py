"""A regular file on the host that a node stands on.

QEMU: block/file-posix.c (raw_open_common)
"""

from __future__ import annotations

import os
import stat

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.host_path import host_path

_SECTOR = 512
_PUNCH = 1 | 2  # FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE; Linux include/uapi/linux/falloc.h
_BLOCK = 4096  # block/file-posix.c (MAX_BLOCKSIZE)


def open_image(path: str, *, read_only: bool, auto_read_only: bool) -> tuple[Fd, bool]:
    """Return the open file, and whether it is read-only. Raises QMPError in QEMU's words."""
    try:
        return _open(path, read_only), read_only
    except PermissionError as error:
        failure: OSError = error
    except OSError as error:
        raise _failed(path, error) from None
    if read_only or not auto_read_only:
        raise _failed(path, failure)
    try:
        return _open(path, True), True
    except OSError as error:
        raise _failed(path, error) from None


def resize(fd: int, size: int) -> None:
    """Truncate or extend the open file. Raises OSError.

    QEMU writes the first block of an empty file, so that its alignment can be found out.
    """
    was_empty = not os.fstat(fd).st_size
    os.ftruncate(fd, size)
    if was_empty and size:
        os.pwrite(fd, bytes(_SECTOR if size < _BLOCK else _BLOCK), 0)


def punch(fd: int, offset: int, length: int) -> None:
    """Have a part of the open file take no room and read as zeros. Raises OSError."""
    import ctypes  # noqa: PLC0415 - few ask for it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, _PUNCH, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _open(path: str, read_only: bool) -> Fd:
    # A FIFO must not block, and is refused below.
    mode = os.O_RDONLY if read_only else os.O_RDWR
    fd = Fd(os.open(host_path(path), mode | os.O_CLOEXEC | os.O_NONBLOCK))
    if not stat.S_ISREG(os.fstat(fd.fileno()).st_mode):
        directory = stat.S_ISDIR(os.fstat(fd.fileno()).st_mode)
        fd.close()
        if directory:
            raise QMPError(f"Could not open '{path}': Is a directory")
        raise QMPError(f"'file' driver requires '{path}' to be a regular file")
    return fd


def _failed(path: str, error: OSError) -> QMPError:
    return QMPError(f"Could not open '{path}': {error.strerror}")
