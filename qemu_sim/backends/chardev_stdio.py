"""Chardev `stdio`: the standard input and output of this process.

QEMU: chardev/char-stdio.c

A terminal keeps its settings. A monitor on stdio is monitor/chardev.py's.
"""

from __future__ import annotations

from qemu_sim.backends.chardev import Chardev
from qemu_sim.fds import Fd

_STDOUT = 1


class ChardevStdio(Chardev):
    """There is one in a machine at most."""

    TYPE = "stdio"

    _output: Fd | None = None

    @property
    def is_open(self) -> bool:
        """Whether it was opened."""
        return self._output is not None

    async def open(self) -> None:
        """Keep the standard output."""
        self._output = Fd.duplicate(_STDOUT)

    def send(self, data: bytes) -> None:
        """Print `data`."""
        assert self._output is not None, "chardev is closed"
        self._write_to(self._output, data)

    def close(self) -> None:
        """Print no more."""
        if self._output is not None:
            self._output.close()
            self._output = None
        super().close()
