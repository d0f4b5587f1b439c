"""The human monitor (HMP): a person types lines and reads answers. Lines are not edited.

QEMU: monitor/hmp.c, monitor/hmp-target.c

Unlike QEMU's it neither echoes what is typed nor completes it: that is left to the terminal.
Events are not shown.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.fds import Fd, close_all
from qemu_sim.monitor.monitor import Monitor

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine
    from qemu_sim.monitor.connection import Stream
    from qemu_sim.monitor.turns import Turns
    from qemu_sim.wire.qmp import Session

_PROMPT = "(qemu) "
_END_OF_LINE = re.compile(rb"\r\n|\r|\n")
# A line that is longer than this is no line a person typed.
_LONGEST = 1 << 16


class HumanConnection:
    """One person, until they leave. To commands it is their monitor."""

    def __init__(self, monitor: Monitor, machine: Machine, turns: Turns) -> None:
        """`monitor` is whose client it is."""
        self.id = monitor.id
        self._machine = machine
        self._turns = turns
        self.named_fds = monitor.named_fds
        self._stream: Stream | None = None
        self._left: Callable[[], None] = lambda: None
        self._typed = b""
        self._lines: deque[str] = deque()
        self._fds: list[Fd] = []
        self._task: asyncio.Task[str] | None = None

    def open(self, stream: Stream, left: Callable[[], None]) -> None:
        """Greet; `left()` is told when the person goes."""
        self._stream, self._left = stream, left
        stream.on_data, stream.on_close = self._receive, self._ended
        version = ".".join(map(str, self._machine.profile.version))
        self._print(f"QEMU {version} monitor - type 'help' for more information\n{_PROMPT}")
        stream.start_reading()

    def take_fd(self) -> Fd | None:
        """Return the first descriptor of the last that came; the rest is closed."""
        taken, self._fds = self._fds, []
        close_all(taken[1:])
        return taken[0] if taken else None

    def event(self, event: dict[str, Any]) -> None:
        """Show nothing: events are for programs."""

    def finish(self) -> None:
        """Take no more lines."""
        self._lines.clear()

    async def drain(self) -> None:
        """Wait until everything is printed."""
        if self._stream is not None:
            await self._stream.drain()

    def drop(self) -> None:
        """End the connection as if the person had left."""
        self._ended(None)

    def close(self) -> None:
        """End the connection and what it runs."""
        if self._task is not None:
            self._task.cancel()
        self._leave()

    def _receive(self, data: bytes, fds: list[Fd]) -> None:
        if fds:
            close_all(self._fds)
            self._fds = fds
        *lines, self._typed = _END_OF_LINE.split(self._typed + data)
        if len(self._typed) > _LONGEST:
            self._ended(None)
            return
        self._lines.extend(line.decode("utf-8", "replace") for line in lines)
        self._pump()

    def _pump(self) -> None:
        """Run the next line, when it is our turn."""
        if self._task is not None or not self._lines or self._stream is None:
            return
        if not self._turns.free:
            self._turns.wait(self._pump)
            return
        self._turns.take()
        self._task = asyncio.get_running_loop().create_task(self._run(self._lines.popleft()))
        self._task.add_done_callback(self._done)

    async def _run(self, line: str) -> str:
        from qemu_sim.commands.hmp import table  # noqa: PLC0415 - only for who uses HMP

        try:
            return await table.run(self._machine, self, line)
        except Exception as error:  # noqa: BLE001  whatever it is, the person must be told
            return f"Error: {self._machine.bug(error)}\n"

    def _done(self, task: asyncio.Task[str]) -> None:
        self._task = None
        if not task.cancelled():
            self._print(task.result() + _PROMPT)
        self._turns.give_back()
        if not self._machine.exited.done():
            self._pump()

    def _print(self, text: str) -> None:
        if self._stream is not None:
            self._stream.send(text.replace("\n", "\r\n").encode())

    def _ended(self, _: Exception | None) -> None:
        self._leave()
        self._left()

    def _leave(self) -> None:
        self._lines.clear()
        close_all(self._fds)
        self._fds = []
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class HumanMonitor(Monitor):
    """A monitor whose clients are persons."""

    def _new_connection(self, session: Session | None, *, local: bool) -> HumanConnection:
        del session, local  # a person may type everything
        return HumanConnection(self, self._machine, self._turns)
