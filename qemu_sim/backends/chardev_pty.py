"""Chardev `pty`: a new pseudo terminal, whose name whoever made it is told.

QEMU: chardev/char-pty.c
"""

from __future__ import annotations

import os
import select

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd


class ChardevPty(Chardev):
    """`path`, if given, becomes a link to the terminal."""

    TYPE = "pty"

    _master: Fd | None = None
    _name = ""
    _link: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a terminal."""
        return self._master is not None

    @property
    def filename(self) -> str:
        """The terminal."""
        return f"pty:{self._name}"

    @property
    def details(self) -> dict[str, str]:
        """The terminal, as the `pty` of a ChardevReturn."""
        return {"pty": self._name}

    async def open(self) -> None:
        """Make a terminal, raw. Raises QMPError in QEMU's words."""
        import tty  # noqa: PLC0415 - few want one

        try:
            master, slave = os.openpty()
        except OSError as error:
            raise QMPError(f"Failed to create PTY: {error.strerror}") from None
        self._master = Fd(master)
        with Fd(slave):
            tty.setraw(slave)
            self._name = os.ttyname(slave)
        os.set_blocking(master, False)
        if "path" in self.options:
            self._make_link(self.options["path"])

    def send(self, data: bytes) -> None:
        """Write `data` where somebody has the terminal open."""
        assert self._master is not None, "chardev is closed"
        poll = select.poll()
        poll.register(self._master.fileno(), select.POLLOUT)
        if not any(events & select.POLLHUP for _, events in poll.poll(0)):
            self._write_to(self._master, data)

    def close(self) -> None:
        """Close the terminal and remove the link to it."""
        if self._link is not None:
            os.unlink(self._link)
        if self._master is not None:
            self._master.close()
        self._master = self._link = None
        super().close()

    def _make_link(self, path: str) -> None:
        try:
            os.symlink(self._name, path)
        except OSError as error:
            raise QMPError(f"Failed to create PTY symlink: {error.strerror}") from None
        self._link = path
