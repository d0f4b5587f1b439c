"""A chardev: the host side of a character stream.

QEMU: chardev/char.c, qapi/char.json
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd, close_all

OpenFile = Callable[[str, int], Fd]


def open_file(path: str, flags: int) -> Fd:
    """Open a file of the host. Raises QMPError `Could not open '…': …`."""
    try:
        return Fd(os.open(path, flags | os.O_CLOEXEC, 0o666))
    except OSError as error:
        raise QMPError(f"Could not open '{path}': {error.strerror}") from None


class Chardev:
    """One chardev. Subclasses are found by their TYPE (chardev_null.py holds "null")."""

    TYPE: ClassVar[str]

    def __init__(self, id: str, options: dict[str, Any], fds: Sequence[Fd] = ()) -> None:
        """Keep `options`, the checked members of the QAPI type in ChardevBackend.

        `fds` is the descriptor that an address of type `fd` stands for, owned by the
        chardev from now on.
        """
        self.id = id
        self.options = options
        self._given = list(fds)
        self.open_file: OpenFile = open_file  # a machine knows more paths
        self.quiet = False  # whether its front end waits for a guest to open it

    @property
    def is_open(self) -> bool:
        """Whether the host's resources are taken."""
        return False

    @property
    def filename(self) -> str:
        """What `query-chardev` shows as `filename`."""
        return self.TYPE

    @property
    def can_yank(self) -> bool:
        """Whether there may be a connection that `yank` cuts."""
        return False

    async def open(self) -> None:
        """Take the host's resources. Raises QMPError in QEMU's words."""

    def write(self, data: bytes) -> None:
        """Take what a front end says; it is lost, but in the types that keep it."""

    def yank(self) -> None:
        """Cut the connection; nothing happens where there is none."""

    def close(self) -> None:
        """Give everything back; nothing happens the second time."""
        close_all(self._given)
