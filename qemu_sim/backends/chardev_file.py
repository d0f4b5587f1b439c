"""Chardev `file`: what is written goes to a file.

QEMU: chardev/char-file.c, chardev/char-fd.c
"""

from __future__ import annotations

import os

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd


class ChardevFile(Chardev):
    """`out` is truncated unless `append` is true; `in`, if given, is what can be read."""

    TYPE = "file"

    output: Fd | None = None
    input: Fd | None = None

    @property
    def is_open(self) -> bool:
        """Whether the files are open."""
        return self.output is not None

    async def open(self) -> None:
        """Open the files. Raises QMPError in QEMU's words."""
        keep = os.O_APPEND if self.options.get("append") else os.O_TRUNC
        self.output = self.open_file(self.options["out"], os.O_WRONLY | os.O_CREAT | keep)
        if "in" in self.options:
            try:
                self.input = self.open_file(self.options["in"], os.O_RDONLY)
            except QMPError:
                self.close()
                raise

    def send(self, data: bytes) -> None:
        """Append `data`."""
        assert self.output is not None, "chardev is closed"
        self._write_to(self.output, data)

    def close(self) -> None:
        """Close the files."""
        for fd in (self.output, self.input):
            if fd is not None:
                fd.close()
        self.output = self.input = None
        super().close()
