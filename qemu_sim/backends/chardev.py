"""A chardev: the host side of a character stream.

QEMU: chardev/char.c, qapi/char.json

Front ends write; nothing here reads, as no guest does. What arrives stays where it came
from, in the kernel's buffer, which is what QEMU does while its front end takes nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd, close_all
from qemu_sim.host_path import host_path

OpenFile = Callable[[str, int], Fd]
Version = tuple[int, int, int]

_log = logging.getLogger(__name__)


def open_file(path: str, flags: int) -> Fd:
    """Open a file of the host. Raises QMPError `Could not open '…': …`."""
    try:
        return Fd(os.open(host_path(path), flags | os.O_CLOEXEC, 0o666))
    except OSError as error:
        raise QMPError(f"Could not open '{path}': {error.strerror}") from None


class Chardev:
    """One chardev. Subclasses are found by their TYPE (chardev_null.py holds "null")."""

    TYPE: ClassVar[str]
    front_ends: int = 1  # how many may use it
    TRAVELS: ClassVar[bool] = False  # whether a front end may be handed its connection

    def __init__(self, id: str, options: dict[str, Any], fds: Sequence[Fd] = ()) -> None:
        """Keep `options`, the checked members of the QAPI type in ChardevBackend.

        `fds` is the descriptor that an address of type `fd` stands for, owned by the
        chardev from now on. Raises QMPError in QEMU's words.
        """
        self.id = id
        self.options = options
        self._given = list(fds)
        self._logfile: Fd | None = None
        self.open_file: OpenFile = open_file  # a machine knows more paths
        self.tell_wait: Callable[[str], None] = lambda _: None  # called with the address
        self.quiet = False  # whether its front end waits for a guest to open it
        self.version: Version = (11, 1, 0)  # the machine's, where there is one

    @property
    def is_open(self) -> bool:
        """Whether the host's resources are taken."""
        return False

    @property
    def filename(self) -> str:
        """What `query-chardev` shows as `filename`."""
        return self.TYPE

    @property
    def details(self) -> dict[str, str]:
        """What `chardev-add` answers."""
        return {}

    @property
    def can_yank(self) -> bool:
        """Whether there may be a connection that `yank` cuts."""
        return False

    def find_bases(self, chardevs: Mapping[str, Chardev]) -> list[Chardev]:  # noqa: ARG002 - few
        """Return the chardevs that this one is a front end of. Raises QMPError."""
        return []

    def open_log(self) -> None:
        """Open the file that gets all that is written, if there is to be one. Raises QMPError."""
        path = self.options.get("logfile")
        if path is None:
            return
        keep = os.O_APPEND if self.options.get("logappend") else os.O_TRUNC
        try:
            self._logfile = self.open_file(path, os.O_WRONLY | os.O_CREAT | keep)
        except QMPError as error:
            raise QMPError(str(error).replace("Could not open", "Could not create", 1)) from None

    async def open(self) -> None:
        """Take the host's resources. Raises QMPError in QEMU's words."""

    def write(self, data: bytes) -> None:
        """Take what a front end says."""
        if self._logfile is not None:
            self._write_to(self._logfile, data)
        self.send(data)

    def send(self, data: bytes) -> None:
        """Pass on what a front end says; it is lost, but in the types that keep it."""

    def yank(self) -> None:
        """Cut the connection; nothing happens where there is none."""

    def close(self) -> None:
        """Give everything back; nothing happens the second time."""
        close_all(self._given)
        if self._logfile is not None:
            self._logfile.close()

    def _write_to(self, file: Fd, data: bytes) -> None:
        """Write `data`; what the host has no room for is lost, as in QEMU."""
        try:
            os.write(file.fileno(), data)
        except BlockingIOError:
            return
        except OSError as error:
            _log.warning("chardev '%s': %s", self.id, error.strerror)
