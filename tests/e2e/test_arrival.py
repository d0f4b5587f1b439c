"""A NIC that has come by a migration tells the network that it is here now."""

from __future__ import annotations

import pytest

MANUAL = ("-sim", "clock=manual")
PAUSES = (50, 150, 250, 350)  # ms, by the default of announce-initial, -step and -max


def frames(machine):
    return machine.query_guest()["nic0"].frames_out


@pytest.fixture
def destination(net_world):
    machine = net_world.destination(*MANUAL, tap="tap1")
    machine.execute("migrate-set-parameters", {"announce-rounds": len(PAUSES) + 1})
    return machine


def migrate(net_world, source, destination):
    """Migrate the ordinary way, to a TAP of the destination's own that the network is behind."""
    destination.hold("device-loaded")
    migration = source.start_migration(destination, backend_transfer=False)
    destination.wait_held("device-loaded")
    net_world.netns.up("tap1", "10.0.1.1/24")
    destination.release()
    assert migration.wait().destination.status == "completed"


def test_it_says_so_some_times_in_a_row(net_world, destination):
    source = net_world.source()
    migrate(net_world, source, destination)
    before = frames(source)
    assert frames(destination) == before + 1
    for count, pause in enumerate(PAUSES, 2):
        destination.execute("x-sim-clock-advance", ms=pause - 1)
        assert frames(destination) == before + count - 1
        destination.execute("x-sim-clock-advance", ms=1)
        assert frames(destination) == before + count
    destination.execute("x-sim-clock-advance", ms=10_000)
    assert frames(destination) == before + 1 + len(PAUSES)


def test_what_a_stopped_guest_has_to_say_waits_until_it_runs(net_world, destination):
    source = net_world.source()
    source.execute("stop")
    migrate(net_world, source, destination)
    destination.execute("x-sim-clock-advance", ms=10_000)
    before = frames(source)
    assert frames(destination) == before
    destination.execute("cont")
    assert frames(destination) == before + 1 + len(PAUSES)


def test_it_says_nothing_where_no_rounds_are_wanted(net_world, destination):
    destination.execute("migrate-set-parameters", {"announce-rounds": 0})
    source = net_world.source()
    migrate(net_world, source, destination)
    destination.execute("x-sim-clock-advance", ms=10_000)
    assert frames(destination) == frames(source)


def test_it_says_nothing_where_its_tap_has_come_along(net_world):
    source, destination = net_world.source(), net_world.destination(*MANUAL)
    source.start_migration(destination).wait()
    before = frames(destination)
    destination.execute("x-sim-clock-advance", ms=10_000)
    assert frames(destination) == before == frames(source)
