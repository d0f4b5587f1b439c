"""Either process is killed at every step; who owns TAP and disk afterwards is seen by traffic.

Which other point has to be held makes each case one case: without it the survivor could
be a step before or behind.
"""

from __future__ import annotations

import time

import pytest

from qemu_sim.hooks import POINTS, RARE_POINTS, SOURCE_POINTS

# What becomes of TAP and disk.
SOURCE = "the source goes on"
DESTINATION = "the destination goes on"
SOURCE_CONT = "nobody, until 'cont' on the source"
DESTINATION_CONT = "nobody, until 'cont' on the destination"
GONE = "the only owner is dead"

SOURCE_KILLED = {
    "connected": GONE,
    "offer-sent": GONE,
    "answer-received": GONE,
    "active": GONE,
    "before-stop": GONE,
    "stopped": GONE,
    "device": GONE,
    "device-sent": GONE,
    "descriptors-sent": DESTINATION_CONT,
    "ready-received": DESTINATION_CONT,
    "commit-sent": DESTINATION,
    "started-received": DESTINATION,
    "accepted": GONE,
    "offer-received": GONE,
    "answer-sent": GONE,
    "device-loaded": DESTINATION_CONT,
    "descriptors-received": DESTINATION_CONT,
    "ready-sent": DESTINATION_CONT,
    "commit-received": DESTINATION,
    "started": DESTINATION,
}
DESTINATION_KILLED = {
    "connected": SOURCE,
    "offer-sent": SOURCE,
    "answer-received": SOURCE,
    "active": SOURCE,
    "before-stop": SOURCE,
    "stopped": SOURCE,
    "device": SOURCE,
    "device-sent": SOURCE,
    "descriptors-sent": SOURCE,
    "ready-received": SOURCE,
    "commit-sent": SOURCE_CONT,
    "started-received": GONE,
    "accepted": SOURCE,
    "offer-received": SOURCE,
    "answer-sent": SOURCE,
    "device-loaded": SOURCE,
    "descriptors-received": SOURCE,
    "ready-sent": SOURCE_CONT,
    "commit-received": SOURCE_CONT,
    "started": SOURCE_CONT,
}
# Who serves while the migration is held there, both sides being alive.
SOURCE_SERVES = {
    *("connected", "offer-sent", "answer-received", "active", "before-stop"),
    *("accepted", "offer-received", "answer-sent"),
}
DESTINATION_SERVES = {"commit-sent", "started-received", "started"}
# (victim, point): where the other side must be, or go to, for the case to be just that one.
ALSO_HELD = {
    ("source", "answer-sent"): "answer-received",
    ("source", "device-loaded"): "descriptors-sent",
    ("source", "ready-sent"): "ready-received",
    ("destination", "commit-sent"): "commit-received",
    ("destination", "ready-sent"): "commit-sent",
}


@pytest.fixture
def pair(world):
    return world.pair("-sim", "phase-timeout=5", load=False)


def served_while_held(world, source, destination, point):
    if point in SOURCE_SERVES:
        world.served_by(source, destination)
    elif point in DESTINATION_SERVES:
        world.served_by(destination, source)
    else:
        world.served_by_nobody(source, destination)


@pytest.mark.parametrize(("point", "fate"), SOURCE_KILLED.items())
def test_the_source_is_killed(world, pair, point, fate):
    source, destination = pair
    world.use_disk(source)
    held = _hold(source, destination, "source", point)
    served_while_held(world, source, destination, point)
    source.kill()
    if destination in held:
        destination.release()
    status = "completed" if fate == DESTINATION else "failed"
    destination.wait_event("MIGRATION", status=status)
    if fate == GONE:
        assert not world.tap_exists()
        assert destination.execute("query-status")["status"] == "inmigrate"
        return
    if fate == DESTINATION_CONT:
        world.served_by_nobody(destination)
        text = destination.query_migrate().error_desc
        assert text.startswith("the source was lost before commit; the machine is held here")
        destination.execute("cont")
    world.served_by(destination)
    assert destination.query_migrate().devices["nic0"].outcome == "transferred"


@pytest.mark.parametrize(("point", "fate"), DESTINATION_KILLED.items())
def test_the_destination_is_killed(world, pair, point, fate):
    source, destination = pair
    if point != "started":
        world.use_disk(source)
    held = _hold(source, destination, "destination", point)
    destination.kill()
    if source in held:
        source.release()
    status = "completed" if fate == GONE else "failed"
    source.wait_event("MIGRATION", status=status)
    if fate == GONE:
        assert not world.tap_exists()
        assert source.execute("query-status")["status"] == "postmigrate"
        return
    if fate == SOURCE_CONT:
        world.served_by_nobody(source)
        assert source.execute("query-status")["status"] == "postmigrate"
        assert "'cont' takes it back" in source.query_migrate().error_desc
        source.execute("cont")
    if point == "started":
        world.use_disk(source)
    world.served_by(source)


def test_what_a_destination_did_before_it_died_is_lost(world, pair, wait):
    """It ran: the disk is ahead of the guest that is taken back, which notices and says so."""
    source, destination = pair
    world.use_disk(source)
    destination.hold("started")
    source.start_migration(destination)
    destination.wait_held("started")
    world.moves_blocks(destination)
    destination.kill()
    source.wait_event("MIGRATION", status="failed")
    source.execute("cont")
    wait(lambda: source.query_guest()["disk0"].errors > 0, "an error of the disk")


@pytest.mark.parametrize("delay", [0.001, 0.002, 0.003, 0.004])
def test_the_source_is_killed_at_any_moment(net_world, wait, delay):
    """Whatever the moment was, the survivor knows what it owns."""
    source, destination = net_world.pair()
    source.start_migration(destination)
    time.sleep(delay)
    source.kill()
    wait(lambda: destination.query_migrate().status != "active", "an end, or no beginning")
    report = destination.query_migrate()
    if "'cont' takes it over" in (report.error_desc or ""):
        net_world.served_by_nobody(destination)
        destination.execute("cont")
        net_world.served_by(destination)
    elif report.status == "completed":
        net_world.served_by(destination)
    else:
        assert report.status in ("failed", "setup")
        assert not net_world.tap_exists()


@pytest.mark.parametrize("delay", [0.001, 0.002, 0.003, 0.004])
def test_the_destination_is_killed_at_any_moment(net_world, wait, delay):
    source, destination = net_world.pair()
    source.start_migration(destination)
    time.sleep(delay)
    destination.kill()
    wait(lambda: source.query_migrate().status in ("completed", "failed"), "an end")
    if source.query_migrate().status == "completed":
        assert not net_world.tap_exists()
    elif source.execute("query-status")["status"] == "postmigrate":
        net_world.served_by_nobody(source)
        source.execute("cont")
        net_world.served_by(source)
    else:
        net_world.served_by(source)


def test_each_point_is_tried():
    not_here = {"setup", *RARE_POINTS}  # no destination takes part; not passed
    assert set(SOURCE_KILLED) == set(DESTINATION_KILLED) == set(POINTS) - not_here


def _hold(source, destination, side, point):
    """Let the migration begin and stop at `point`, and the other side where the case needs it.

    Returns who is held.
    """
    holder, other = source, destination
    if point not in SOURCE_POINTS:
        holder, other = destination, source
    other_point = ALSO_HELD.get((side, point))
    holder.hold(point)
    if other_point is not None:
        other.hold(other_point)
    source.start_migration(destination)
    holder.wait_held(point)
    if other_point is None:
        return [holder]
    other.wait_held(other_point)
    return [holder, other]
