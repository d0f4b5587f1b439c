"""TAP and disk change process under traffic, and nobody outside notices."""

from __future__ import annotations

import pytest

from qemu_sim.fds import open_descriptors, same_open_file


@pytest.fixture
def world(make_world, server):
    """The disk is served by a process of its own."""
    return make_world(server.path)


def outside_view(server) -> list:
    """What our own server has noticed so far; others keep no such log."""
    return server.log() if server.kind == "embedded" else []


def shared_files(source, destination) -> dict:
    """Map what both processes hold as one and the same open file to the number of descriptors."""
    ours, theirs = (open_descriptors(machine.pid) for machine in (source, destination))
    common: dict[str, int] = {}
    for number, name in theirs.items():
        for own, own_name in ours.items():
            if own_name == name and same_open_file(source.pid, own, destination.pid, number):
                common[name] = common.get(name, 0) + 1
                break
    return common


@pytest.mark.parametrize("queues", [1, 4])
def test_tap_and_disk_under_traffic(world, server, queues, wait):
    world.queues = queues
    source, destination = world.pair()
    world.use_disk(source, depth=8)
    world.moves_blocks(source)
    before = outside_view(server)
    with world.pinging() as counts:
        source.hold("ready-received")
        migration = source.start_migration(destination)
        source.wait_held("ready-received")
        # No new name, no new connection: the very files that the source opened.
        common = shared_files(source, destination)
        source.release()
        outcome = migration.wait()
        assert source.kill() == -9
        world.moves_blocks(destination)
        during = outside_view(server)[len(before) :]
    assert outcome.source.status == outcome.destination.status == "completed"
    assert counts["received"] == counts["sent"]
    assert counts["duplicates"] == counts["spoilt"] == 0

    assert common["/dev/net/tun"] == queues
    assert sum(name.startswith("socket:") for name in common) == 1
    assert sum(name.startswith("/memfd:guest-ram") for name in common) == 1
    devices = outcome.source.devices
    assert devices["nic0"].fds == queues
    assert {device.outcome for device in devices.values()} == {"transferred"}
    assert outcome.source.devices == outcome.destination.devices

    world.served_by(destination)
    assert destination.query_guest()["disk0"].inflight == 8
    destination.execute("x-sim-guest-io", device="disk0", enable=False)
    wait(lambda: destination.query_guest()["disk0"].inflight == 0, "the last request's end")
    assert destination.query_guest()["disk0"].errors == 0
    assert during == []
    if server.kind == "embedded":
        assert [entry["event"] for entry in before].count("connect") == 1
