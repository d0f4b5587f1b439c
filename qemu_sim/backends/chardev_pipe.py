"""Chardev `pipe`: a pair of FIFOs, `PATH.in` and `PATH.out`, or one for both.

QEMU: chardev/char-pipe.c
"""

from __future__ import annotations

import os

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd

_BOTH_WAYS = os.O_RDWR | os.O_NONBLOCK


class ChardevPipe(Chardev):
    """`device` is the path."""

    TYPE = "pipe"

    input: Fd | None = None
    output: Fd | None = None

    @property
    def is_open(self) -> bool:
        """Whether the FIFOs are open."""
        return self.output is not None

    async def open(self) -> None:
        """Open the FIFOs. Raises QMPError in QEMU's words."""
        path = self.options["device"]
        try:
            self.input = self.open_file(f"{path}.in", _BOTH_WAYS)
            self.output = self.open_file(f"{path}.out", _BOTH_WAYS)
        except QMPError:
            self._close_pipe()
            self.input = self.open_file(path, _BOTH_WAYS)
            self.output = self.input.share()

    def send(self, data: bytes) -> None:
        """Write `data` to the outgoing FIFO."""
        assert self.output is not None, "chardev is closed"
        self._write_to(self.output, data)

    def close(self) -> None:
        """Close the FIFOs."""
        self._close_pipe()
        super().close()

    def _close_pipe(self) -> None:
        for fd in (self.input, self.output):
            if fd is not None:
                fd.close()
        self.input = self.output = None
