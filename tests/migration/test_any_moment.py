"""Two machines, and whatever may happen to their migration at any moment: at most one serves.

`test_ownership.py` walks through the tables; here it is the code that goes by them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket

import pytest

from qemu_sim import faults
from qemu_sim.errors import QMPError
from qemu_sim.hooks import POINTS, RARE_POINTS

BOTH = ["nic0", "nic1"]
KINDS = {
    "hand-over": (),
    "one-way": (),
    "precopy": ("return-path",),
    "postcopy": ("return-path", "postcopy-ram"),
}
ENDS = ("completed", "failed", "cancelled")
PAUSED = "postcopy-paused"


class Chance:
    """What befalls a pair, all of it from one seed."""

    def __init__(self, pair, seed, *, in_postcopy=False) -> None:
        self.pair = pair
        self.in_postcopy = in_postcopy
        self.random = random.Random(seed)
        self.sides = (pair.source, pair.destination)

    def arm(self):
        """Hold either side somewhere, and perhaps let one fail."""
        for side in self.sides:
            side.migration._phase_timeout = 0.2
            points = set(POINTS) if self.in_postcopy else set(POINTS) - set(RARE_POINTS)
            for point in self.random.sample(sorted(points), 2):
                side.hooks.hold(point)
        if self.random.random() < 0.2:
            point = self.random.choice(sorted(set(POINTS) - {"cancelling", "failing"}))
            faults.arm(self.random.choice(self.sides).hooks, "refuse", point, incoming=True)

    async def befall(self):
        side = self.random.choice(self.sides)
        actions = [self.turn, self.step, self.step, self.cancel, self.cut]
        if self.in_postcopy:
            actions.append(self.go_on_elsewhere)
        action = self.random.choice(actions)
        await action(side)
        self.check()

    async def turn(self, _):
        for _ in range(self.random.randrange(6)):
            await asyncio.sleep(0)
            self.check()

    async def step(self, side):
        if side.hooks.waiting_at is not None:
            side.hooks.step()
        await asyncio.sleep(0.001)

    async def cancel(self, _):
        if self.random.random() < 0.1:
            with contextlib.suppress(QMPError):  # in postcopy
                self.pair.source.migration.cancel()

    async def go_on_elsewhere(self, _):
        """The client wants postcopy, when it can."""
        if self.pair.source.migration.is_sending:
            self.pair.source.migration.start_postcopy()

    async def cut(self, side):
        """The channel breaks."""
        last = side.migration._last
        if side is self.pair.source:
            stream = last._outgoing and last._outgoing.stream
        else:
            stream = last._incoming and last._incoming._stream
        if stream is not None and not stream._channel.closed and self.random.random() < 0.1:
            stream._channel._sock.shutdown(socket.SHUT_RDWR)

    def check(self):
        assert self.pair.owners in ([], BOTH)

    async def end(self):
        for side in self.sides:
            with contextlib.suppress(QMPError):  # nothing is held
                side.hooks.release()
        await self.pair.source.until(*ENDS, PAUSED)
        if self.pair.destination.migration.status.value != "setup":  # nobody came
            await self.pair.destination.until(*ENDS, PAUSED)
        self.check()

    async def operate(self):
        """Both have come to their end: where nobody serves, somebody can be told to."""
        for side in self.sides:
            took_it = not self.pair.owners and await side.migration.reclaim()
            if took_it and side is self.pair.source:
                side.state_name = "running"
        assert self.pair.owners == BOTH

    async def operate_in_postcopy(self):
        """Who runs goes on, paused or not; only a package whose fate is unknown leaves nobody."""
        source, destination = (side.migration.status.value for side in self.sides)
        if destination in ("completed", PAUSED):
            assert self.pair.owners == self.pair.destination.serving == BOTH
        elif source == "cancelled":
            assert self.pair.owners == self.pair.source.serving == BOTH
        else:
            await self.operate()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(60))
async def test_at_most_one_serves(make_pair, kind, seed):
    pair = await make_pair(shared=kind == "hand-over")
    for side in (pair.source, pair.destination):
        side.capabilities.names |= set(KINDS[kind])
    chance = Chance(pair, f"{kind} {seed}", in_postcopy=kind == "postcopy")
    chance.arm()
    pair.listen(exit_on_error=False)
    pair.migrate(hand_over=kind == "hand-over")
    for _ in range(50):
        await chance.befall()
    await chance.end()
    if kind == "postcopy":
        await chance.operate_in_postcopy()
    elif kind != "one-way":  # else a completed source does not know
        await chance.operate()
