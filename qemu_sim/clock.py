"""The time a machine lives in: real, faster than real, or moved by hand.

QEMU: util/qemu-timer.c (QEMU_CLOCK_REALTIME)

All times are nanoseconds. A machine's own doings ask its clock; how long a peer in another
process may be silent is always real time.

A task that waits for a time waits on an `Alarm`; for a client, it does in `rest`. The manual
clock stands still as long as any task that it follows does something else, so what one timer
started is over before the next is due, however many turns and answers of peers that takes.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import re
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeVar

from qemu_sim.errors import QMPError

_T = TypeVar("_T")

MILLISECOND = 1_000_000
SECOND = 1_000_000_000

_EPOCH = 1_000_000_000 * SECOND  # 2001-09-09 01:46:40 UTC, as good as any
_PATIENCE = 10.0  # real seconds that what happens at one time may take
_SPEED = re.compile(r"(\d+(?:\.\d+)?)x")


class Timer(Protocol):
    """A call that is due at some time."""

    def cancel(self) -> None:
        """Have it not happen; nothing happens when it did."""


class Clock(Protocol):
    """A machine's time."""

    def now(self) -> int:
        """Nanoseconds since some moment; never goes back."""

    def wall(self) -> int:
        """Nanoseconds since 1970, for what clients are shown."""

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` when `now` has reached `when`."""

    def follow(self, task: asyncio.Task[None]) -> None:
        """Take `task` for one that does something now."""

    def unfollow(self, task: asyncio.Task[None]) -> bool:
        """Take `task` for one that waits for time to pass, or for a client; whether it was not."""


class RealClock:
    """Time as it passes, `speed` times as fast."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._origin = time.monotonic_ns()
        self._wall_origin = time.time_ns()

    def now(self) -> int:
        """Nanoseconds since some moment; the host's monotonic clock at speed 1."""
        return self._scaled(time.monotonic_ns(), self._origin)

    def wall(self) -> int:
        """Nanoseconds since 1970; the host's clock at speed 1."""
        return self._scaled(time.time_ns(), self._wall_origin)

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` when `now` has reached `when`."""
        delay = (when - self.now()) / SECOND / self._speed
        return asyncio.get_running_loop().call_later(max(delay, 0.0), callback)

    def follow(self, task: asyncio.Task[None]) -> None:
        """Nothing to do: this time waits for nobody."""

    def unfollow(self, task: asyncio.Task[None]) -> bool:  # noqa: ARG002 - as the protocol has it
        """Nothing to do: this time waits for nobody."""
        return False

    def _scaled(self, real: int, origin: int) -> int:
        if self._speed == 1.0:
            return real
        return origin + int((real - origin) * self._speed)


class ManualClock:
    """Time that stands still but for `advance`; it starts at the same moment each time."""

    def __init__(self) -> None:
        self._now = 0
        self._timers: list[_ManualTimer] = []
        self._numbers = itertools.count()
        self._active: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    def now(self) -> int:
        """Nanoseconds that were advanced so far."""
        return self._now

    def wall(self) -> int:
        """Nanoseconds since 1970."""
        return _EPOCH + self._now

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` when `now` has reached `when`."""
        timer = _ManualTimer(when, next(self._numbers), callback, self._timers)
        bisect.insort(self._timers, timer)
        return timer

    def follow(self, task: asyncio.Task[None]) -> None:
        """Let no time pass until `task` waits on an alarm or ends."""
        if task not in self._active:
            self._active.add(task)
            self._quiet.clear()
            task.add_done_callback(self.unfollow)

    def unfollow(self, task: asyncio.Task[None]) -> bool:
        """Let time pass, as far as `task` is concerned; return whether it did not till now."""
        was_followed = task in self._active
        self._active.discard(task)
        task.remove_done_callback(self.unfollow)
        if not self._active:
            self._quiet.set()
        return was_followed

    async def advance(self, span: int) -> None:
        """Let `span` nanoseconds pass; returns when all that happens in them has happened."""
        end = self._now + span
        await self._settle()
        while self._timers and self._timers[0].when <= end:
            timer = self._timers.pop(0)
            self._now = max(self._now, timer.when)
            timer.callback()
            await self._settle()
        self._now = max(self._now, end)

    async def _settle(self) -> None:
        await asyncio.sleep(0)  # a task that was cancelled or begun a moment ago takes a turn
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._quiet.wait()
        except TimeoutError:
            return  # somebody waits for a peer that is silent: time goes on without it


class _ManualTimer(NamedTuple):
    when: int
    number: int  # of two at once, the first asked for comes first
    callback: Callable[[], None]
    timers: list[_ManualTimer]

    def cancel(self) -> None:
        """Have the call not happen; nothing happens when it did."""
        if self in self.timers:
            self.timers.remove(self)


class Alarm:
    """What a task waits on: until a time comes or somebody rings, whichever is first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = False
        self._waiting: tuple[asyncio.Future[None], asyncio.Task[None]] | None = None

    def ring(self) -> None:
        """Wake the task that waits, or have the next `wait` return at once."""
        self._rung = True
        if self._waiting is not None:
            future, task = self._waiting
            self._clock.follow(task)
            if not future.done():
                future.set_result(None)

    async def wait(self, until: int | None = None) -> None:
        """Wait until `ring`, or until `now` has reached `until`. One task at a time."""
        assert self._waiting is None
        task = asyncio.current_task()
        assert task is not None
        timer = None if until is None else self._clock.call_at(until, self.ring)
        self._waiting = asyncio.get_running_loop().create_future(), task
        if not self._rung:
            self._clock.unfollow(task)
        try:
            if not self._rung:
                await self._waiting[0]
        finally:
            self._clock.follow(task)
            self._waiting, self._rung = None, False
            if timer is not None:
                timer.cancel()


async def rest(clock: Clock, wait: Awaitable[_T]) -> _T:
    """Await what only a client can bring about: meanwhile time may pass."""
    task = asyncio.current_task()
    assert task is not None
    was_followed = clock.unfollow(task)
    try:
        return await wait
    finally:
        if was_followed:
            clock.follow(task)


def make(text: str) -> Clock:
    """Return the clock for `real`, `manual`, or a speed such as `100x`. Raises QMPError."""
    if text == "manual":
        return ManualClock()
    speed = _SPEED.fullmatch(text)
    if text != "real" and (speed is None or float(speed[1]) == 0):
        raise QMPError("Parameter 'clock' expects 'real', 'manual' or a speed such as '100x'")
    return RealClock(1.0 if speed is None else float(speed[1]))
