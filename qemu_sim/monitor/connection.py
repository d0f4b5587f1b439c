"""One QMP client: a session joined to a stream, and the commands it runs.

QEMU: monitor/qmp.c

This is the only place where an error of a command is caught. A QMPError is the
client's answer. Anything else is a bug of ours: logged with its traceback, answered as
such, and kept in `machine.bugs` so that a test can fail on it.

A command goes on when its client leaves; its answer is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from qemu_sim.commands import registry
from qemu_sim.errors import CommandNotFound, QMPError

if TYPE_CHECKING:
    from qemu_sim.fds import Fd
    from qemu_sim.machine.machine import Machine
    from qemu_sim.monitor.monitor import Monitor
    from qemu_sim.monitor.turns import Turns
    from qemu_sim.wire.qmp import Session
    from qemu_sim.wire.qmp_request import Execute

_log = logging.getLogger(__name__)

# A client that reads nothing is dropped when this much waits for it. QEMU has no limit.
MAX_UNREAD = 256 << 20  # bytes
_OUR_PREFIX = "x-sim-"

_What = TypeVar("_What")


class Stream(Protocol):
    """What carries a session: io/channel.py or io/stdio.py."""

    on_data: Callable[[bytes, list[Fd]], None]
    on_close: Callable[[Exception | None], None]

    @property
    def queued_bytes(self) -> int:
        """Bytes that the other side has not read yet."""

    def send(self, data: bytes, fds: Sequence[Fd] = ()) -> None:
        """Send in order."""

    def start_reading(self) -> None:
        """Deliver what arrives."""

    def pause_reading(self) -> None:
        """Leave what arrives in the kernel."""

    async def drain(self) -> None:
        """Wait until everything is sent."""

    def close(self) -> None:
        """End the stream."""


class Connection:
    """One client, from its greeting until it leaves. To commands it is their monitor."""

    def __init__(
        self,
        monitor: Monitor,
        machine: Machine,
        turns: Turns,
        session: Session,
        *,
        local: bool,
    ) -> None:
        """`monitor` is whose client it is; `local` says that the client is on this host."""
        self.id = monitor.id
        self._machine = machine
        self._turns = turns
        self._session = session
        self.named_fds = monitor.named_fds
        self._local = local
        self._stream: Stream | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pumping = False
        self._event_waits = False
        self._left: Callable[[], None] = lambda: None

    def open(self, stream: Stream, left: Callable[[], None]) -> None:
        """Greet the client; `left()` is told when it goes by itself."""
        self._stream = stream
        self._left = left
        stream.on_data = self._receive
        stream.on_close = self._ended
        self._flush()
        stream.start_reading()

    def take_fd(self) -> Fd | None:
        """Return the first descriptor the client sent and did not claim; the rest is closed."""
        return self._session.take_fd()

    def event(self, event: dict[str, Any]) -> None:
        """Send an event, behind what a running command has said so far."""
        self._session.event(event)
        if not self._pumping and not self._event_waits:
            # In the next turn: whoever emits it may have a guest that stands still meanwhile.
            self._event_waits = True
            asyncio.get_running_loop().call_soon(self._flush_events)

    def set_pretty(self, *, pretty: bool) -> None:
        """Indent what is said from now on, or do not."""
        self._session.set_pretty(pretty=pretty)

    def finish(self) -> None:
        """Take no more requests."""
        self._session.finish()

    async def drain(self) -> None:
        """Wait until the client has all its answers and events."""
        if self._stream is not None:
            self._flush()
            await self._stream.drain()

    def drop(self) -> None:
        """End the connection as if the client had left."""
        self._ended(None)

    def close(self) -> None:
        """End the connection and what it runs."""
        for task in self._tasks:
            task.cancel()
        self._leave()

    def pump(self) -> None:
        """Run what may run now."""
        self._pumping = True
        while (request := self._session.next_request(in_band=self._turns.free)) is not None:
            self._settle(request, self._call, request)
            if self._machine.exited.done():
                self._session.finish()
        if not self._turns.free:
            self._turns.wait(self.pump)
        self._pumping = False
        self._flush()

    def _receive(self, data: bytes, fds: list[Fd]) -> None:
        self._session.receive(data, fds)
        self.pump()

    def _settle(self, request: Execute, outcome: Callable[[_What], Any], of: _What) -> None:
        """Answer `request` with what `outcome(of)` returns or raises, at once or later."""
        try:
            result = outcome(of)
            if type(result) is CoroutineType:
                self._begin(request, result)
            else:
                self._session.reply(request, result)
        except QMPError as error:
            self._session.error(request, error)
        except Exception as error:  # noqa: BLE001  whatever it is, the client must be told
            self._session.error(request, self._bug(request, error))

    def _call(self, request: Execute) -> Any:
        machine, name = self._machine, request.name
        described = machine.schema.command(name)
        if described is None:
            raise CommandNotFound(f"The command {name} has not been found")
        if name.startswith(_OUR_PREFIX) and not self._local:
            raise QMPError(f"The command {name} is refused on a TCP monitor")
        if request.oob and not described.allow_oob:
            raise QMPError(f"The command {name} does not support OOB")
        machine.check_initialized(name)
        arguments = machine.schema.check_arguments(name, request.arguments)
        command = registry.find(name)
        if command is None:
            raise QMPError(f"not simulated by qemu-sim: {name}")
        return command.call(machine, self, arguments)

    def _begin(self, request: Execute, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run an async command; one in band holds the machine's turn until it is done."""
        task = asyncio.get_running_loop().create_task(coroutine, name=f"QMP {request.name}")
        self._tasks.add(task)
        if not request.oob:
            self._turns.take()
        task.add_done_callback(lambda task: self._done(request, task))

    def _done(self, request: Execute, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._settle(request, asyncio.Task.result, task)
        if not request.oob:
            self._turns.give_back()
        self.pump()

    def _bug(self, request: Execute, error: Exception) -> QMPError:
        _log.error("bug in the command %s", request.name, exc_info=error)
        self._machine.bugs.append(error)
        return QMPError(
            f"bug in qemu-sim, please report: {request.name} raised {type(error).__name__}: {error}"
        )

    def _flush_events(self) -> None:
        self._event_waits = False
        self._flush()

    def _flush(self) -> None:
        """Send what there is, then read on, or not, as the session wants."""
        output = self._session.take_output()
        stream = self._stream
        if stream is None:
            return
        if output:
            stream.send(output)
            if stream.queued_bytes > MAX_UNREAD:
                _log.warning("QMP client dropped: it left %d bytes unread", stream.queued_bytes)
                self._ended(None)
                return
        if self._session.wants_input:
            stream.start_reading()
        else:
            stream.pause_reading()

    def _ended(self, error: Exception | None) -> None:
        if error is not None:
            _log.info("QMP client lost: %s", error)
        self._leave()
        self._left()

    def _leave(self) -> None:
        self._session.finish()
        if self._stream is not None:
            self._stream.close()
            self._stream = None
