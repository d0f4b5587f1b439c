"""Named points of a migration at which a test may hold it or let something go wrong.

A point is passed with `await hooks.reach(POINT)`. Nothing armed there: nothing happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from qemu_sim.clock import Clock, rest
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd

# In the order in which one hand-over passes them. Statuses are points, too.
SOURCE_POINTS = (
    "setup",
    "connected",
    "offer-sent",
    "answer-received",
    "active",
    "before-stop",
    "stopped",
    "device",
    "device-sent",
    "descriptors-sent",
    "ready-received",
    "commit-sent",
    "started-received",
)
DESTINATION_POINTS = (
    "accepted",
    "offer-received",
    "answer-sent",
    "device-loaded",
    "descriptors-received",
    "ready-sent",
    "commit-received",
    "started",
)
# Those that not every migration passes.
RARE_POINTS = (
    "wait-unplug",
    "pre-switchover",
    "postcopy-device",
    "postcopy-active",
    "postcopy-recover",
    "cancelling",
    "failing",
)
POINTS = SOURCE_POINTS + DESTINATION_POINTS + RARE_POINTS

# What every source passes, and what every destination passes.
SURE_POINTS = ("before-stop", "accepted")

Riders = dict[str, list[list[Fd]]]
"""By device name: for each descriptor byte of the device, what rides on it."""
Emit = Callable[[str, dict[str, Any]], None]
"""Told an event's name and data."""


class Strikes(Protocol):
    """A fault at a point of a migration."""

    TYPE: str

    async def strike(self) -> None:
        """Do it; this may raise or never return."""


class Tampers(Protocol):
    """A fault in the descriptors of a hand-over."""

    TYPE: str

    def tamper(self, riders: Riders) -> AbstractContextManager[Riders]:
        """Change what is sent. Raises MigrationError where there is too little to change."""


def check_passed(point: str, *, incoming: bool) -> None:
    """Raise QMPError for a point that a machine, started with -incoming or not, never passes."""
    if point in DESTINATION_POINTS and not incoming:
        raise QMPError(f"only a machine that was started with -incoming passes '{point}'")


class Hooks:
    """What is armed at each point of one machine's migrations."""

    def __init__(self, emit: Emit, clock: Clock) -> None:
        """`emit` is told when a migration starts to wait at a point, and when a fault strikes."""
        self._emit = emit
        self._clock = clock
        self._holds: set[str] = set()
        self._stepping = False
        self._faults: list[tuple[Collection[str], Strikes]] = []
        self._tampers: list[Tampers] = []
        self._released = asyncio.Event()
        self.waiting_at: str | None = None

    def hold(self, point: str) -> None:
        """Let the next migration that reaches `point` wait there until `release`."""
        self._holds.add(point)

    def release(self) -> None:
        """Let a waiting migration go on, and forget all holds. Raises QMPError without any."""
        if self.waiting_at is None and not self._holds and not self._stepping:
            raise QMPError("Nothing is held, and nothing is to be held")
        self.forget()
        self._released.set()

    def forget(self) -> None:
        """Hold at no further point: the machine ends."""
        self._holds.clear()
        self._stepping = False

    def step(self) -> None:
        """Let a waiting migration go on to its next point, whichever that is, and wait there.

        Raises QMPError when none waits.
        """
        if self.waiting_at is None:
            raise QMPError("Nothing is held")
        self._stepping = True
        self._released.set()

    def ended(self) -> None:
        """A migration is over: a step that found no further point is not the next one's."""
        self._stepping = False

    def arm(self, points: Collection[str], fault: Strikes) -> None:
        """Let `fault` strike once, when the first of `points` is reached."""
        self._faults.append((points, fault))

    def arm_descriptors(self, fault: Tampers) -> None:
        """Let `fault` change, once, the descriptors of the next hand-over."""
        self._tampers.append(fault)

    @contextmanager
    def descriptors(self, riders: Riders) -> Iterator[Riders]:
        """Pass all descriptors of one hand-over, if there are any, on their way out."""
        if not self._tampers or not riders:
            yield riders
            return
        fault = self._tampers.pop(0)
        with fault.tamper(riders) as tampered:
            self._emit("X_SIM_FAULT_STRUCK", {"fault": fault.TYPE})
            yield tampered

    async def reach(self, point: str) -> None:
        """Pass `point`: suffer what is armed there, then wait as long as it is held."""
        if not self._faults and not self._holds and not self._stepping:
            return
        while (fault := self._due(point)) is not None:
            self._emit("X_SIM_FAULT_STRUCK", {"fault": fault.TYPE, "at": point})
            await fault.strike()
        if self._stepping or point in self._holds:
            self._stepping = False
            self._holds.discard(point)
            await self._wait(point)

    def _due(self, point: str) -> Strikes | None:
        for armed in self._faults:
            if point in armed[0]:
                self._faults.remove(armed)
                return armed[1]
        return None

    async def _wait(self, point: str) -> None:
        self._released.clear()
        self.waiting_at = point
        self._emit("X_SIM_MIGRATION_HELD", {"at": point})
        try:
            await rest(self._clock, self._released.wait())
        finally:
            self.waiting_at = None
