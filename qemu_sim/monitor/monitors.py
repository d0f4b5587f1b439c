"""All QMP monitors of one machine: they share its events and take turns.

QEMU: monitor/monitor.c
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qemu_sim.clock import Timer
from qemu_sim.monitor.monitor import Monitor
from qemu_sim.monitor.session import WireLog
from qemu_sim.monitor.turns import Turns
from qemu_sim.wire.event_throttle import EventThrottle

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_log = logging.getLogger(__name__)
_GOODBYE = 1.0  # seconds that clients have, at the end, to take their last answers


class Monitors:
    """Tells each monitor each event; the limit of their rate is one for all."""

    def __init__(self, machine: Machine, wire_log: WireLog | None = None) -> None:
        """`wire_log(direction, monitor, message, fds)` is told each message."""
        self._machine = machine
        self._wire_log = wire_log
        self._turns = Turns()
        self._throttle = EventThrottle(machine.profile.version)
        self._timer: Timer | None = None
        self._unsubscribe = machine.events.subscribe(self._occurred)
        self._closed = False
        self.monitors: list[Monitor] = []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Answer nothing until this ends well: as in QEMU, clients are greeted and wait."""
        self._turns.take()
        yield
        self._turns.give_back()

    def add(self, id: str, *, pretty: bool = False, human: bool = False) -> Monitor:
        """Make a monitor, not yet open; a `human` one is for a person."""
        kind = Monitor
        if human:
            from qemu_sim.monitor.human import HumanMonitor  # noqa: PLC0415 - few want it

            kind = HumanMonitor
        monitor = kind(id, self._machine, self._turns, pretty=pretty, wire_log=self._wire_log)
        self.monitors.append(monitor)
        return monitor

    def plug(self, kind: str, id: str, options: dict[str, Any]) -> None:
        """Make a monitor of a chardev that is there, as object-add does. Raises QMPError."""
        from qemu_sim.monitor import plugging  # noqa: PLC0415 - few clients add one

        plugging.plug(self, self._machine.board, kind, id, options)

    async def close(self) -> None:
        """Let clients take their last answers, then end all connections."""
        if self._closed:
            return
        self._closed = True
        self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
        for monitor in self.monitors:
            monitor.finish()
        await self.drain()
        for monitor in self.monitors:
            monitor.close()
        self.monitors.clear()

    async def drain(self) -> None:
        """Let clients take what there is for them, within a moment."""
        loop = asyncio.get_running_loop()
        drains = [loop.create_task(monitor.drain()) for monitor in self.monitors]
        if not drains:
            return
        done, late = await asyncio.wait(drains, timeout=_GOODBYE)
        for task in late:
            task.cancel()
        for task in done:
            if task.exception() is not None:
                _log.info("QMP client lost at the end: %s", task.exception())

    def _occurred(self, event: dict[str, Any]) -> None:
        if self._throttle.admit(event, self._machine.clock.now()):
            self._tell(event)
        elif self._timer is None:
            self._await_next()

    def _tell(self, event: dict[str, Any]) -> None:
        for monitor in self.monitors:
            monitor.event(event)

    def _await_next(self) -> None:
        deadline, clock = self._throttle.deadline, self._machine.clock
        self._timer = None if deadline is None else clock.call_at(deadline, self._due)

    def _due(self) -> None:
        # The loop may call a timer as much as its clock's resolution too early.
        now = max(self._machine.clock.now(), self._throttle.deadline or 0)
        for event in self._throttle.due(now):
            self._tell(event)
        self._await_next()
