"""Locks by which processes keep each other from what their permissions exclude.

QEMU: block/file-posix.c (raw_apply_lock_bytes, raw_check_lock_bytes), util/osdep.c

One byte of the file stands for each permission that somebody needs, another for each that
somebody does not share. All of them are read locks, which go together; who wants something
looks whether others lock the byte that speaks against it. The kernel drops them with the
open file.
"""

from __future__ import annotations

import errno
import fcntl
import struct

from qemu_sim.block.permissions import FREE, Claim, Permission
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd

_NEEDED, _UNSHARED = 100, 200
_FLOCK = struct.Struct("hhqqi4x")  # l_type, l_whence, l_start, l_len, l_pid


class ImageLock:
    """The locks of one open file; `held` is what they stand for."""

    def __init__(self, fd: Fd, filename: str) -> None:
        """`fd` stays its owner's, and open as long as there are locks."""
        self.held = FREE
        self._fd = fd
        self._filename = filename
        self._locked: set[int] = set()

    def reserve(self, claim: Claim) -> None:
        """Hold `claim` beside what is held, before that is given up.

        Raises QMPError in QEMU's words if another process speaks against it.
        """
        if not claim.needs & ~self.held.needs and not self.held.shares & ~claim.shares:
            return
        self._set(self._locked | _bytes(claim))
        try:
            self._check(claim)
        except QMPError:
            self._set(_bytes(self.held))
            raise

    def settle(self, claim: Claim) -> None:
        """Hold `claim`, which is reserved, and nothing else."""
        self._set(_bytes(claim))
        self.held = claim

    def move(self, fd: Fd) -> None:
        """Hold the same on another open file, to which the fd belongs from now on."""
        self._fd, locked, self._locked = fd, self._locked, set()
        self._set(locked)

    def _check(self, claim: Claim) -> None:
        for permission in claim.needs:
            if self._is_locked(_byte(_UNSHARED, permission)):
                raise self._refused(f'Failed to get "{permission.words}" lock')
        for permission in ~claim.shares:
            if self._is_locked(_byte(_NEEDED, permission)):
                raise self._refused(f'Failed to get shared "{permission.words}" lock')

    def _refused(self, text: str) -> QMPError:
        return QMPError(text, f"Is another process using the image [{self._filename}]?")

    def _set(self, wanted: set[int]) -> None:
        for byte in sorted(wanted - self._locked):
            try:
                self._fcntl(fcntl.F_OFD_SETLK, fcntl.F_RDLCK, byte)
            except OSError as error:
                why = "" if error.errno in (errno.EAGAIN, errno.EACCES) else f": {error.strerror}"
                raise QMPError(f"Failed to lock byte {byte}{why}") from None
            self._locked.add(byte)
        for byte in sorted(self._locked - wanted):
            self._fcntl(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, byte)
            self._locked.remove(byte)

    def _is_locked(self, byte: int) -> bool:
        """Whether another open file has a lock there."""
        kind: int = _FLOCK.unpack(self._fcntl(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, byte))[0]
        return kind != fcntl.F_UNLCK

    def _fcntl(self, call: int, kind: int, byte: int) -> bytes:
        return fcntl.fcntl(self._fd.fileno(), call, _FLOCK.pack(kind, 0, byte, 1, 0))


def _bytes(claim: Claim) -> set[int]:
    needed = {_byte(_NEEDED, each) for each in claim.needs}
    return needed | {_byte(_UNSHARED, each) for each in ~claim.shares}


def _byte(base: int, permission: Permission) -> int:
    return base + permission.value.bit_length() - 1
