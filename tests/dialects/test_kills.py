"""Upstream's dialects between two processes, one of which is killed: representative points.

`test_points.py` has the points one by one, without kills; `tests/e2e/test_kill.py` all of them,
for the dialect `devices`. Here are the last at which all is the source's, and those at
which the destination may have everything: there the moment decides, and the survivor knows.
"""

from __future__ import annotations

import socket

import pytest
from pair import Pair, check_traffic, machines
from scenarios import SCENARIOS, Scenario
from speakers import ALL, SPEAKERS

ONE_WAY = Scenario("without a return path", return_path=False)
POINTS = {"source": "device-sent", "destination": "device-loaded"}
BOTH_POINTS = [("bool", SCENARIOS[0], side) for side in POINTS]
BOTH_POINTS += [("bool", ONE_WAY, side) for side in POINTS]
OTHERS = sorted(set(SPEAKERS) - {"devices", "bool"})


def cases(side):
    """Both points in one dialect, with and without a return path; this side's in the others."""
    return pytest.mark.parametrize(
        ("dialect", "scenario", "side"),
        [*BOTH_POINTS, *((dialect, SCENARIOS[0], side) for dialect in OTHERS)],
        ids=lambda each: each if isinstance(each, str) else each.title,
    )


@pytest.fixture
def pair(netns, dialect, scenario):
    with machines("daemon") as make:
        yield Pair(make, dialect, scenario)


def hold(pair, side):
    holder = getattr(pair, side)
    holder.hold(POINTS[side])
    pair.meet()
    holder.wait_held(POINTS[side])


def is_served():
    for number in ALL:
        check_traffic(number, is_answered=True)


@cases("destination")
def test_the_source_is_killed(pair, side):
    hold(pair, side)
    pair.source.kill()
    if side == "destination":
        pair.destination.release()
    report = pair.ended(pair.destination)
    if side == "destination" and report["status"] == "completed":
        is_served()
        return
    assert report["error-desc"].startswith("load of migration failed: Input/output error: ")
    assert pair.destination.execute("query-status")["status"] == "inmigrate"
    assert not any(name.startswith("tap") for _, name in socket.if_nameindex())


@cases("source")
def test_the_destination_is_killed(pair, side):
    hold(pair, side)
    pair.destination.kill()
    if side == "source":
        pair.source.release()
    report, state = pair.ended(pair.source), pair.source.execute("query-status")["status"]
    if side == "destination" and state == "postmigrate":
        # Without a return path it cannot know that nobody has started.
        assert report["status"] == "completed" or "'cont' takes it back" in report["error-desc"]
        check_traffic(0, is_answered=False)
        pair.source.execute("cont")
    else:
        assert (report["status"], state) == ("failed", "running")
    is_served()
