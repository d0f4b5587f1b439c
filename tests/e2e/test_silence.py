"""A peer that says nothing, or too late: each phase has its end, and then one owner or none."""

from __future__ import annotations

import socket

import pytest


def test_a_silent_destination(world, tmp_path):
    source = world.source("-sim", "phase-timeout=0.3")
    world.use_disk(source)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen(1)
        world.migrate(source, f"unix:{tmp_path}/silent")
        source.wait_event("MIGRATION", status="failed")
    text = "timeout after 0.3 s while waiting for the answer to the offer"
    assert source.query_migrate().error_desc == text
    world.served_by(source)


def test_a_silent_source(world):
    destination = world.destination("-sim", "phase-timeout=0.3")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(destination.listen().removeprefix("unix:"))
        destination.wait_event("MIGRATION", status="failed")
    text = "timeout after 0.3 s while waiting for the source"
    text = f"load of migration failed: Invalid argument: {text}"
    assert destination.query_migrate().error_desc == text
    assert not world.tap_exists()


@pytest.mark.parametrize("point", ["offer-received", "descriptors-received"])
def test_a_slow_destination_before_commit(world, point):
    source, destination = world.pair("-sim", "phase-timeout=0.5")
    destination.hold(point)
    source.start_migration(destination)
    source.wait_event("MIGRATION", status="failed")
    assert "timeout after 0.5 s while waiting for" in source.query_migrate().error_desc
    world.served_by(source, destination)
    destination.release()
    destination.wait_event("MIGRATION", status="failed")
    assert "the source took it back: timeout" in destination.query_migrate().error_desc
    world.served_by(source, destination)


def test_a_slow_destination_after_commit(world):
    """The source gives up waiting but never the right to nobody's guest; the other has it."""
    source, destination = world.pair("-sim", "phase-timeout=0.5")
    destination.hold("commit-received")
    source.start_migration(destination)
    source.wait_event("MIGRATION", status="failed")
    world.served_by_nobody(source, destination)
    destination.release()
    destination.wait_event("MIGRATION", status="completed")
    world.served_by(destination, source)


def test_a_slow_source_before_commit(world):
    """The destination waits for commit only so long, says so and closes what it has."""
    source = world.source()
    destination = world.destination("-sim", "phase-timeout=0.5")
    world.use_disk(source)
    source.hold("ready-received")
    source.start_migration(destination)
    destination.wait_event("MIGRATION", status="failed")
    text = "timeout after 0.5 s while waiting for commit; what was received is closed"
    assert destination.query_migrate().error_desc == text
    source.release()
    source.wait_event("MIGRATION", status="failed")
    assert source.query_migrate().error_desc == text
    world.served_by(source, destination)
