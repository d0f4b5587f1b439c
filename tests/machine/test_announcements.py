"""Announcements: how often, how far apart, and that a new one ends the old."""

import asyncio

import pytest

from qemu_sim.machine.announcements import Announcements


class Clock:
    """The loop's call_later, by hand."""

    def __init__(self):
        self.delays = []
        self.waiting = None

    def call_later(self, delay, call, *arguments):
        self.delays.append(delay)
        self.waiting = lambda: call(*arguments)
        return self

    def cancel(self):
        self.waiting = None


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made)
    return made


def timing(**values):
    return {"initial": 50, "max": 550, "rounds": 5, "step": 100} | values


def test_pauses_grow_up_to_the_longest(clock):
    said = []
    announcements = Announcements(said.append)
    announcements.start("", ["nic0"], timing(max=200))
    for _ in range(4):
        clock.waiting()
    assert said == [["nic0"]] * 5
    assert clock.delays == [0.05, 0.15, 0.2, 0.2]


@pytest.mark.parametrize("rounds", [1, 0, -1])
def test_one_is_said_in_any_case(clock, rounds):
    said = []
    Announcements(said.append).start("", None, timing(rounds=rounds))
    assert said == [None]
    assert clock.delays == []


def test_a_new_one_ends_the_old_of_that_id(clock):
    announcements = Announcements(lambda _: None)
    announcements.start("a", None, timing())
    announcements.start("a", None, timing(rounds=1))
    assert clock.waiting is None
    announcements.start("a", None, timing())
    announcements.close()
    assert clock.waiting is None
