"""Announcements: how often, how far apart, and that a new one ends the old."""

import pytest

from qemu_sim.clock import MILLISECOND, SECOND, ManualClock
from qemu_sim.machine.announcements import Announcements


@pytest.fixture
def clock():
    return ManualClock()


def timing(**values):
    return {"initial": 50, "max": 550, "rounds": 5, "step": 100} | values


async def test_pauses_grow_up_to_the_longest(clock):
    said = []
    announcements = Announcements(lambda names: said.append((names, clock.now())), clock)
    announcements.start("", ["nic0"], timing(max=200))
    await clock.advance(SECOND)
    times = [0, 50, 200, 400, 600]
    assert said == [(["nic0"], time * MILLISECOND) for time in times]


@pytest.mark.parametrize(("rounds", "times"), [(0, 0), (1, 1), (-1, 1)])
def test_what_is_not_repeated(clock, rounds, times):
    said = []
    Announcements(said.append, clock).start("", None, timing(rounds=rounds))
    assert said == [None] * times
    assert clock._timers == []


def test_a_new_one_ends_the_old_of_that_id(clock):
    announcements = Announcements(lambda _: None, clock)
    announcements.start("a", None, timing())
    announcements.start("a", None, timing(rounds=1))
    assert clock._timers == []
    announcements.start("a", None, timing())
    announcements.close()
    assert clock._timers == []
