"""One QMP client's session, without a socket.

QEMU: monitor/qmp.c

    receive(data, fds)      what arrived
    next_request()          the next command to run, None for now
    reply / error           its answer
    event                   dropped before the negotiation
    take_output()           bytes for the client
    wants_input             False: leave what arrives in the kernel

In-band commands run one after the other. Without the `oob` capability one is in
flight and nothing more is read; with it up to eight wait, malformed ones among them,
and `exec-oob` is answered ahead of them all.

Descriptors belong to the connection, not to a command: those that came last wait until
a command takes the first of them; a later message with descriptors closes them. Ones
that arrive while nothing may be read wait in their place among the requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from qemu_sim.errors import CommandNotFound, QMPError
from qemu_sim.fds import Fd, close_all
from qemu_sim.wire import json_text
from qemu_sim.wire.json_stream import JsonStream, Version
from qemu_sim.wire.qmp_request import (
    CAPABILITIES,
    Execute,
    Refused,
    describe,
    jumps_the_queue,
    read_capabilities,
    read_request,
)

_QUEUE_LENGTH = 8  # QMP_REQ_QUEUE_LEN_MAX, monitor/monitor-internal.h


Log = Callable[[str, Any, int], None]


class _Descriptors:
    """Descriptors in their place among the requests that arrived with them."""

    def __init__(self, fds: Sequence[Fd]) -> None:
        self.fds = fds


class Session:
    """The state of one connection, from its greeting to its end."""

    def __init__(
        self, version: Version, package: str, *, pretty: bool = False, log: Log | None = None
    ) -> None:
        """Begin with the greeting; `version` is (major, minor, micro) of the QEMU imitated.

        `log(direction, object, fds)` is told each message: "in" or "out", and how many
        descriptors came with it.
        """
        self._log = log
        self._unlogged_fds = 0
        self._stream = JsonStream(version)
        self.set_pretty(pretty=pretty)
        self._output: list[bytes] = []
        self._arrived: deque[Any] = deque()  # not read yet, as far as QEMU is concerned
        self._queue: deque[Any] = deque()  # in-band, in order
        self._urgent: deque[Any] = deque()  # out of band
        self._fds: Sequence[Fd] = ()
        self._running: Execute | None = None
        self._negotiated = self._oob = self._suspended = self._finished = False
        # The capability as it was when the running command was taken off the queue.
        self._oob_then = False
        self._send(_greeting(version, package))

    def set_pretty(self, *, pretty: bool) -> None:
        """Put each member on a line of its own from now on, or all on one line."""
        self._format = json_text.pretty_lines if pretty else json_text.line

    @property
    def wants_input(self) -> bool:
        """Whether more may be read."""
        return not (self._suspended or self._arrived or self._finished)

    @property
    def negotiated(self) -> bool:
        """Whether the client has left capability negotiation behind."""
        return self._negotiated

    def receive(self, data: bytes, fds: Sequence[Fd] = ()) -> None:
        """Take what arrived in one read; the session owns `fds` from now on."""
        if self._finished:
            close_all(fds)
            return
        if fds:
            self._arrived.append(_Descriptors(fds))
            self._unlogged_fds += len(fds)
        items = self._stream.receive(data)
        self._arrived.extend(items)
        if self._log:
            for item in items:
                self._log("in", describe(item), self._unlogged_fds)
                self._unlogged_fds = 0

    def next_request(self, *, in_band: bool = True) -> Execute | None:
        """Return the next command to run; answer the others on the way to it.

        With `in_band` False only one out of band: another monitor's command is running.
        """
        while True:
            if self._arrived:
                self._admit()
            if self._urgent:
                request = self._judge(self._urgent.popleft())
                if isinstance(request, Execute):
                    return request
            elif in_band and self._queue and self._running is None:
                request = self._judge(self._dequeue())
                if isinstance(request, Execute):
                    self._running = request
                    return request
                self._end()
            else:
                return None

    def reply(self, request: Execute, result: Any) -> None:
        """Answer `request` with `result`, None for a command that returns nothing."""
        self._send({"return": {} if result is None else result, **request.echo})
        if not request.oob:
            self._running = None
            self._end()

    def error(self, request: Execute, error: QMPError) -> None:
        """Answer `request` with `error`."""
        self._refuse(error, request.echo)
        if not request.oob:
            self._running = None
            self._end()

    def event(self, event: dict[str, Any]) -> None:
        """Send `event`, as it stands on the wire; nothing before the negotiation."""
        if self._negotiated:
            self._send(event)

    def take_fd(self) -> Fd | None:
        """Give away the first waiting descriptor and close the others of its message."""
        fds, self._fds = self._fds, ()
        close_all(fds[1:])
        return fds[0] if fds else None

    def take_output(self) -> bytes:
        """Return what is to be sent, once."""
        output, self._output = b"".join(self._output), []
        return output

    def finish(self) -> None:
        """Take no further request: QEMU drops those that stand behind `quit`."""
        self._finished = True
        for item in self._arrived:
            if isinstance(item, _Descriptors):
                close_all(item.fds)
        self._arrived.clear()
        self._queue.clear()
        self._urgent.clear()
        close_all(self._fds)
        self._fds = ()

    def _admit(self) -> None:
        """Read on as far as QEMU would."""
        while self._arrived and not self._suspended:
            item = self._arrived.popleft()
            if isinstance(item, _Descriptors):
                close_all(self._fds)
                self._fds = item.fds
            elif jumps_the_queue(item):
                self._urgent.append(item)
            else:
                self._suspended = not self._oob or len(self._queue) == _QUEUE_LENGTH - 1
                self._queue.append(item)

    def _dequeue(self) -> Any:
        """Take the next in-band item; with one fewer in a full queue there is room again."""
        self._oob_then = self._oob
        if self._oob and len(self._queue) == _QUEUE_LENGTH:
            self._suspended = False
        return self._queue.popleft()

    def _end(self) -> None:
        """Read on after an in-band item was answered."""
        if not self._oob_then:
            self._suspended = False

    def _judge(self, item: Any) -> Execute | None:
        """Return the command to run; answer what is none, or is about the session itself."""
        request = read_request(item, oob_enabled=self._oob)
        if isinstance(request, Refused):
            self._refuse(request.error, request.echo)
            return None
        if request.name != "qmp_capabilities":
            if self._negotiated:
                return request
            text = "Expecting capabilities negotiation with 'qmp_capabilities'"
            self._refuse(CommandNotFound(text), request.echo)
            return None
        problem = self._negotiate(request)
        if problem:
            self._refuse(problem, request.echo)
        else:
            self._send({"return": {}, **request.echo})
        return None

    def _negotiate(self, request: Execute) -> QMPError | None:
        if request.oob:
            return QMPError("The command qmp_capabilities does not support OOB")
        enabled = read_capabilities(request.arguments)
        if isinstance(enabled, QMPError):
            return enabled
        if self._negotiated:
            text = "Capabilities negotiation is already complete, command ignored"
            return CommandNotFound(text)
        self._negotiated = True
        self._oob = "oob" in enabled
        return None

    def _refuse(self, error: QMPError, echo: dict[str, Any]) -> None:
        self._send({"error": {"class": error.class_, "desc": str(error)}, **echo})

    def _send(self, message: dict[str, Any]) -> None:
        if self._log:
            self._log("out", message, 0)
        self._output.append(self._format(message))


def _greeting(version: Version, package: str) -> dict[str, Any]:
    major, minor, micro = version
    qemu = {"major": major, "minor": minor, "micro": micro}
    return {
        "QMP": {
            "version": {"qemu": qemu, "package": package},
            "capabilities": list(CAPABILITIES),
        }
    }
