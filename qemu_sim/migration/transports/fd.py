"""Over a descriptor that somebody else opened: `fd:NAME`, `fd:NUMBER`.

QEMU: migration/fd.c, monitor/fds.c (monitor_get_fd, monitor_fd_param)

The client has named it with `getfd`, or a destination has inherited it. Since its owner
has chosen it, nobody asks whose the other end is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.io import any_channel
from qemu_sim.migration.transport import Awaited, Opened

if TYPE_CHECKING:
    from qemu_sim.migration.transport import Access

_FILES_UNTIL = (9, 1, 0)
_NO_FILE = "fd: migration to a file is not supported. Use file: instead."


class FdTransport:
    """A name, or a number."""

    NAME = "fd"
    can_carry_fds = True
    can_be_many = False
    can_seek = False

    def __init__(self, name: str) -> None:
        self.name = name

    def connect(self, access: Access) -> Opened:
        """Take the descriptor that the client has named."""
        fd = self._named(access.named_fds or {})
        return Opened(any_channel.writer_of(_checked(fd, access)))

    def listen(self, access: Access) -> Awaited:
        """Take the descriptor that the client has named, or an inherited one."""
        named = access.named_fds is not None and not self.name[:1].isdigit()
        fd = self._named(access.named_fds or {}) if named else self._inherited(access)
        fd = _checked(fd, access)
        number = fd.fileno() if any_channel.is_pollable(fd) else None
        return Awaited(any_channel.reader_of(fd), number)

    def _named(self, named_fds: dict[str, Fd]) -> Fd:
        fd = named_fds.pop(self.name, None)
        if fd is None:
            raise QMPError(f"File descriptor named '{self.name}' has not been found")
        return fd

    def _inherited(self, access: Access) -> Fd:
        if not self.name.isdecimal():
            raise QMPError(f"Invalid file descriptor number '{self.name}'")
        number = int(self.name)
        try:
            os.set_inheritable(number, False)  # programs that this process starts must not get it
        except (OSError, OverflowError):
            raise QMPError(_not_open(number, access)) from None
        return Fd(number)


def _checked(fd: Fd, access: Access) -> Fd:
    allowed = access.version < _FILES_UNTIL or any_channel.is_socket(fd) or any_channel.is_pipe(fd)
    if not allowed:
        fd.close()
        raise QMPError(_NO_FILE)
    return fd


def _not_open(number: int, access: Access) -> str:
    # 11.1 takes a number that is not open for a file. 7.2 waits for it for ever: no help.
    return _NO_FILE if access.version >= _FILES_UNTIL else f"fd '{number}' is not open"
