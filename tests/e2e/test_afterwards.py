"""What can be done after a hand-over that failed, and with machines that were changed before."""

from __future__ import annotations

import pytest

from qemu_sim.testing import QMPError


def lose_the_source(world):
    """Return a destination that holds what a dead source had sent, and has not started."""
    source, destination = world.pair()
    source.hold("ready-received")
    source.start_migration(destination)
    source.wait_held("ready-received")
    source.kill()
    destination.wait_event("MIGRATION", status="failed")
    return destination


def lose_the_commit(world):
    """Return a source that has sent commit, and the destination that did not take it."""
    source, destination = world.pair()
    destination.inject("refuse", at="commit-received")
    source.start_migration(destination)
    source.wait_event("MIGRATION", status="failed")
    destination.wait_event("MIGRATION", status="failed")
    return source, destination


def test_what_a_lost_source_left_is_not_thrown_away_by_another_migration(world):
    destination = lose_the_source(world)
    with pytest.raises(QMPError, match="the machine of a lost source is held here"):
        destination.execute("migrate-incoming", uri="unix:/tmp/never")
    destination.execute("cont")
    world.served_by(destination)


def test_who_took_over_may_hand_over_again(world):
    first = lose_the_source(world)
    first.execute("cont")
    second = world.destination(name="second")
    assert first.migrate_to(second).source.status == "completed"
    world.served_by(second, first)


def test_who_took_back_may_hand_over_again(world):
    source, destination = lose_the_commit(world)
    source.execute("cont")
    assert source.migrate_to(destination).source.status == "completed"
    world.served_by(destination, source)


def test_who_holds_after_commit_may_not_migrate(world):
    source, destination = lose_the_commit(world)
    uri = destination.listen()
    with pytest.raises(QMPError, match="Can't migrate the vm that was paused due to previous"):
        source.execute("migrate", uri=uri, backend_transfer=True)
    source.execute("cont")
    world.served_by(source, destination)


@pytest.mark.parametrize("point", ["offer-sent", "ready-received"])
def test_a_paused_source_stays_paused_when_cancelled(world, point):
    source, destination = world.pair()
    source.execute("stop")
    source.hold(point)
    migration = source.start_migration(destination)
    source.wait_held(point)
    source.execute("migrate_cancel")
    assert migration.wait().source.status == "cancelled"
    assert source.execute("query-status")["status"] == "paused"
    world.served_by_nobody(source, destination)
    source.execute("cont")
    world.served_by(source, destination)


def test_cont_while_the_destination_waits_for_commit(world):
    """As long as the source is there, nothing but commit makes a second owner."""
    source, destination = world.pair()
    source.hold("ready-received")
    migration = source.start_migration(destination)
    source.wait_held("ready-received")
    destination.execute("cont")
    world.served_by_nobody(source, destination)
    with pytest.raises(QMPError):
        source.execute("cont")
    world.served_by_nobody(source, destination)
    source.release()
    assert migration.wait().source.status == "completed"
    world.served_by(destination, source)


def test_a_nic_that_was_plugged_later_travels_too(disk_world, netns):
    source, destination = disk_world.source(machine="pc"), disk_world.destination(machine="pc")
    disk_world.use_disk(source)
    tap = {"type": "tap", "id": "net0", "ifname": "tap0", "script": "no", "downscript": "no"}
    for machine in (source, destination):
        machine.execute("netdev_add", tap)
        machine.execute("device_add", driver="virtio-net-pci", id="nic0", netdev="net0")
    netns.up("tap0", "10.0.0.1/24")
    outcome = source.migrate_to(destination)
    assert {device.outcome for device in outcome.source.devices.values()} == {"transferred"}
    disk_world.served_by(destination, source)


def test_a_device_that_the_destination_lacks(world):
    source = world.source()
    world.use_disk(source)
    *rest, _, _, _, _ = world.argv()
    destination = world.raw(*rest, "-incoming", "defer", name="destination")
    outcome = source.migrate_to(destination)
    assert outcome.source.status == "failed"
    text = "Device '/machine/peripheral/disk0' not found on the destination"
    assert outcome.source.error_desc == text
    world.served_by(source)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("64M", "32M", "guest RAM of 67108864 bytes (shared) on the source, 33554432 bytes"),
        ("q35", "pc", "Machine type received is 'pc-q35-11.1' and local is 'pc-i440fx-11.1'"),
    ],
)
def test_another_machine(world, old, new, text):
    source = world.source()
    world.use_disk(source)
    argv = [argument.replace(old, new) for argument in world.argv()]
    if old == "64M":
        argv[argv.index("64")] = "32"
    destination = world.raw(*argv, "-incoming", "defer", name="destination")
    outcome = source.migrate_to(destination)
    assert (outcome.source.status, outcome.destination.status) == ("failed", "failed")
    assert text in outcome.destination.error_desc
    world.served_by(source)


def test_a_server_that_is_dead_already(make_world, server):
    """Its connection cannot travel; the migration succeeds as soon as there is a new server."""
    world = make_world(server.path)
    source, destination = world.pair()
    server.kill()
    outcome = source.migrate_to(destination)
    assert outcome.source.status == "failed"
    assert "Device 'disk0': Failed to connect to" in outcome.source.error_desc
    reason = "the connection is lost: the server closed the connection"
    assert outcome.source.devices["disk0"].reason == reason
    with pytest.raises(QMPError, match=f"Device 'disk0' cannot be transferred: {reason}"):
        source.migrate_to(destination, devices=["nic0", "disk0"])
    server.start()
    outcome = source.migrate_to(destination)
    assert outcome.source.status == "completed"
    assert outcome.destination.devices["disk0"].outcome == "reopened"
    world.served_by(destination, source)


@pytest.mark.parametrize("share", ["on", "off"])
def test_who_gave_its_ram_away_does_not_go_on(make_machine, share):
    """Of a copy it may, as QEMU's source may: the guest is then as old as that."""
    argv = [
        *("-machine", "q35,memory-backend=ram", "-m", "64M"),
        *("-object", f"memory-backend-memfd,id=ram,size=64M,share={share}"),
    ]
    source = make_machine(*argv)
    destination = make_machine(*argv, "-incoming", "defer")
    assert source.migrate_to(destination).source.status == "completed"
    if share == "off":
        source.execute("cont")
        assert source.execute("query-status")["running"]
        return
    with pytest.raises(QMPError, match="Guest RAM was handed over to the destination"):
        source.execute("cont")
    source.execute("system_reset")
    with pytest.raises(QMPError, match="Guest RAM was handed over to the destination"):
        source.execute("cont")
