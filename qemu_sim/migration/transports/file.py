"""Into a file and out of it: `file:PATH`, `file:PATH,offset=SIZE`.

QEMU: migration/file.c
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.host_path import host_path
from qemu_sim.io import any_channel
from qemu_sim.migration.transport import Awaited, Opened

if TYPE_CHECKING:
    from qemu_sim.migration.transport import Access

_OFF_MAX = (1 << 63) - 1


class FileTransport:
    """A path, /dev/fdset/N too, and where in it the stream begins, in bytes."""

    NAME = "file"
    can_carry_fds = False
    can_be_many = False
    can_seek = True

    def __init__(self, filename: str, offset: int) -> None:
        self.filename = filename
        self.offset = offset

    def connect(self, access: Access) -> Opened:
        """Make the file, and cut off what lies behind the offset."""
        fd = self._open(access, os.O_CREAT | os.O_WRONLY)
        try:
            _truncate(fd, self.offset)
            os.lseek(fd.fileno(), self.offset, os.SEEK_SET)
        except OSError as error:
            fd.close()
            raise QMPError(
                f"failed to truncate migration file to offset {self.offset:x}: {error.strerror}"
            ) from None
        return Opened(any_channel.writer_of(fd))

    def listen(self, access: Access) -> Awaited:
        """Open the file at the offset."""
        fd = self._open(access, os.O_RDONLY)
        try:
            if self.offset:
                os.lseek(fd.fileno(), self.offset, os.SEEK_SET)
        except OSError as error:
            fd.close()
            raise QMPError(f"Unable to seek to offset {self.offset}: {error.strerror}") from None
        number = fd.fileno() if any_channel.is_pollable(fd) else None
        return Awaited(any_channel.reader_of(fd), number)

    def _open(self, access: Access, flags: int) -> Fd:
        member = access.fdset_member(self.filename, flags)
        if member is not None:
            return member
        try:
            return Fd(os.open(host_path(self.filename), flags | os.O_CLOEXEC, 0o600))
        except OSError as error:
            verb = "create" if flags & os.O_CREAT else "open"
            raise QMPError(f"Could not {verb} '{self.filename}': {error.strerror}") from None


def _truncate(fd: Fd, size: int) -> None:
    if size > _OFF_MAX:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    os.ftruncate(fd.fileno(), size)
