"""Over the pipes of a program: `exec:COMMAND`, or its arguments as a list.

QEMU: migration/exec.c
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qemu_sim.io.pipe import PipeChannel
from qemu_sim.migration.transport import Awaited, Opened

if TYPE_CHECKING:
    from qemu_sim.migration.transport import Access


class ExecTransport:
    """A program's path and arguments."""

    NAME = "exec"
    can_carry_fds = False
    can_be_many = False
    can_seek = False

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments

    @classmethod
    def of_shell(cls, command: str) -> ExecTransport:
        """Return what `exec:` means."""
        return cls(("/bin/sh", "-c", command))

    def connect(self, _: Access) -> Opened:
        """Start the program, which is to read the machine."""
        channel, _number = self._start()
        return Opened(channel)

    def listen(self, _: Access) -> Awaited:
        """Start the program, which is to write the machine."""
        return Awaited(*self._start())

    def _start(self) -> tuple[PipeChannel, int]:
        from qemu_sim.io import program  # noqa: PLC0415 - few need it

        source, sink = program.start(self.arguments)
        number = source.fileno()
        return PipeChannel(source, sink, "command"), number
