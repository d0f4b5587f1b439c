"""Named points of a migration at which a test may hold it or let something go wrong.

A point is passed with `await hooks.reach(POINT)`. Nothing armed there: nothing happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext

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

Strike = Callable[[], Awaitable[None]]
Riders = dict[str, list[list[Fd]]]
"""By device name: for each descriptor byte of the device, what rides on it."""
Tamper = Callable[[Riders], AbstractContextManager[Riders]]


def check_passed(point: str, *, incoming: bool) -> None:
    """Raise QMPError for a point that a machine, started with -incoming or not, never passes."""
    if point in DESTINATION_POINTS and not incoming:
        raise QMPError(f"only a machine that was started with -incoming passes '{point}'")


class Hooks:
    """What is armed at each point of one machine's migrations."""

    def __init__(self, held: Callable[[str], None], clock: Clock) -> None:
        """`held(point)` is told when a migration starts to wait at a point."""
        self._held = held
        self._clock = clock
        self._holds: set[str] = set()
        self._stepping = False
        self._strikes: dict[str, list[Strike]] = {}
        self._tampers: list[Tamper] = []
        self._released = asyncio.Event()
        self.waiting_at: str | None = None

    def hold(self, point: str) -> None:
        """Let the next migration that reaches `point` wait there until `release`."""
        self._holds.add(point)

    def release(self) -> None:
        """Let a waiting migration go on, and forget all holds."""
        self._holds.clear()
        self._stepping = False
        self._released.set()

    def step(self) -> None:
        """Let a waiting migration go on to its next point, whichever that is, and wait there."""
        self._stepping = True
        self._released.set()

    def arm(self, point: str, strike: Strike) -> None:
        """Call `strike` once when `point` is reached; it may raise or never return."""
        self._strikes.setdefault(point, []).append(strike)

    def arm_descriptors(self, tamper: Tamper) -> None:
        """Let `tamper` change, once, the descriptors of the next hand-over."""
        self._tampers.append(tamper)

    def descriptors(self, riders: Riders) -> AbstractContextManager[Riders]:
        """Pass all descriptors of one hand-over on their way out."""
        return self._tampers.pop(0)(riders) if self._tampers else nullcontext(riders)

    async def reach(self, point: str) -> None:
        """Pass `point`: suffer what is armed there, then wait as long as it is held."""
        if not self._strikes and not self._holds and not self._stepping:
            return
        for strike in self._strikes.pop(point, ()):
            await strike()
        if self._stepping or point in self._holds:
            self._stepping = False
            self._holds.discard(point)
            await self._wait(point)

    async def _wait(self, point: str) -> None:
        self._released.clear()
        self.waiting_at = point
        self._held(point)
        try:
            await rest(self._clock, self._released.wait())
        finally:
            self.waiting_at = None
