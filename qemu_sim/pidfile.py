"""The file that names the process, locked while the process lives.

QEMU: util/oslib-posix.c (qemu_write_pidfile)
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd


class PidFile:
    """One pidfile of this process. `remove` it in the end."""

    def __init__(self, path: str) -> None:
        """Make, lock and write it. Raises QMPError in QEMU's words.

        The lock belongs to the process, so a daemon makes it after its last fork.
        """
        self._path = os.path.abspath(path)  # a daemon's working directory changes
        try:
            self._fd = _locked(self._path)
        except QMPError as error:
            raise QMPError(f"cannot create PID file: {error}") from None
        os.ftruncate(self._fd.fileno(), 0)
        os.write(self._fd.fileno(), f"{os.getpid()}\n".encode())

    def remove(self) -> None:
        """Delete the file, unless another one stands in its place, and drop the lock."""
        if _is_at(self._path, self._fd):
            with contextlib.suppress(OSError):  # a directory that was made read-only since
                os.unlink(self._path)
        self._fd.close()


def _locked(path: str) -> Fd:
    while True:
        try:
            fd = Fd(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise QMPError(f"Could not create '{path}': {error.strerror}") from None
        try:
            fcntl.lockf(fd.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            fd.close()
            raise QMPError(f"Cannot lock pid file: {error.strerror}") from None
        # Its last owner may have deleted the file between the two steps.
        if _is_at(path, fd):
            return fd
        fd.close()


def _is_at(path: str, fd: Fd) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd.fileno()))
    except FileNotFoundError:
        return False
