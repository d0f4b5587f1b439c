"""What managers do with a hand-over: all of it, part of it, or none, and all the ways back."""

from __future__ import annotations

import socket

import pytest

from qemu_sim.guest.block_ledger import BLOCK
from qemu_sim.hooks import SOURCE_POINTS
from qemu_sim.testing import QMPError

BEFORE_COMMIT = SOURCE_POINTS[: SOURCE_POINTS.index("commit-sent")]


def outcomes(report) -> dict:
    return {name: (device.outcome, device.reason) for name, device in report.devices.items()}


def succeeded(outcome) -> dict:
    """Return what became of each device; both sides say the same."""
    assert outcome.source.status == outcome.destination.status == "completed"
    assert outcomes(outcome.source) == outcomes(outcome.destination)
    return outcomes(outcome.source)


# Which devices.


def test_one_device_is_left_out(world, disk):
    source, destination = world.pair()
    assert succeeded(source.migrate_to(destination, devices=["nic0"])) == {
        "nic0": ("transferred", None),
        "disk0": ("reopened", "not in the list of devices"),
    }
    assert [entry["event"] for entry in disk.log].count("connect") == 2
    world.served_by(destination, source)


def test_a_device_is_listed_by_its_path(world):
    source, destination = world.pair()
    devices = ["/machine/peripheral/nic0", "disk0"]
    outcome = source.migrate_to(destination, devices=devices)
    assert set(succeeded(outcome).values()) == {("transferred", None)}
    world.served_by(destination, source)


def test_a_tap_that_is_left_out_is_busy(world):
    """A TAP of one queue has one owner: the destination cannot open it while the source runs."""
    source, destination = world.pair()
    outcome = source.migrate_to(destination, devices=["disk0"])
    assert outcome.source.status == outcome.destination.status == "failed"
    busy = "Device 'nic0': could not configure /dev/net/tun (tap0): Device or resource busy"
    assert outcome.source.error_desc == outcome.destination.error_desc == busy
    assert "STOP" not in [event["event"] for event in source.events]
    world.served_by(source, destination)


@pytest.mark.parametrize("options", [{"devices": []}, {"backend_transfer": False}], ids=str)
def test_nothing_travels(disk_world, disk, options):
    source, destination = disk_world.pair()
    reasons = {"disk0": ("reopened", "not in the list of devices")} if "devices" in options else {}
    assert succeeded(source.migrate_to(destination, **options)) == reasons
    assert [entry["event"] for entry in disk.log].count("connect") == 2
    disk_world.moves_blocks(destination)


def test_the_disk_moves_to_another_server(disk_world, disk, make_disk):
    """The reason is not the list: the destination has its disk at another socket path."""
    other = make_disk("other")
    source = disk_world.source()
    destination = disk_world.destination(disk=other.path)
    disk_world.use_disk(source)
    disk_world.moves_blocks(source)
    source.execute("x-sim-guest-io", device="disk0", enable=False)
    assert succeeded(source.migrate_to(destination)) == {
        "disk0": (
            "reopened",
            f"socket is 'unix:{disk.path}' at the source, 'unix:{other.path}' here",
        )
    }
    assert [entry["event"] for entry in other.log].count("connect") == 1
    disk_world.use_disk(destination)
    disk_world.moves_blocks(destination)


def test_a_device_that_must_travel_but_has_another_server(disk_world, make_disk):
    source = disk_world.source()
    destination = disk_world.destination(disk=make_disk("other").path)
    disk_world.use_disk(source)
    outcome = source.migrate_to(destination, devices=["disk0"])
    assert outcome.source.status == "failed"
    assert outcome.source.devices["disk0"].outcome == "refused"
    disk_world.moves_blocks(source)


@pytest.mark.parametrize(
    ("options", "devices", "expected"),
    [
        ({"blk": ",backend-transfer=off"}, None, "backend-transfer=off is set on the device"),
        ({"machine": "pc-q35-9.0"}, None, "backend-transfer is off by default for this machine"),
        ({"machine": "pc-q35-9.0"}, ["disk0"], None),
        ({"machine": "pc-q35-9.0", "blk": ",backend-transfer=on"}, None, None),
    ],
    ids=str,
)
def test_property_and_machine_type(disk_world, disk, options, devices, expected):
    source = disk_world.source(**options)
    destination = disk_world.destination(**options)
    disk_world.use_disk(source)
    support = source.execute("query-backend-transfer")[0]
    outcome = source.migrate_to(destination, devices=devices)
    found, reason = succeeded(outcome)["disk0"]
    if expected is None:
        assert (found, reason) == ("transferred", None)
    else:
        assert found == "reopened"
        assert reason.startswith(expected)
        assert support["reason"] == reason
        assert support["transferable"] is False
    disk_world.moves_blocks(destination)


def test_off_is_stronger_than_the_list(world):
    source = world.source(blk=",backend-transfer=off")
    text = "Device 'disk0' cannot be transferred: backend-transfer=off is set on the device"
    with pytest.raises(QMPError, match=text):
        source.execute(
            "migrate", uri="unix:/x", backend_transfer=True, backend_transfer_devices=["disk0"]
        )
    assert source.query_migrate().status is None


def test_off_on_the_destination_alone(disk_world):
    source = disk_world.source()
    destination = disk_world.destination(blk=",backend-transfer=off")
    assert succeeded(source.migrate_to(destination)) == {
        "disk0": ("reopened", "backend-transfer=off is set on the device")
    }


# Run states.


def test_a_paused_source(world):
    source, destination = world.pair()
    source.execute("stop")
    succeeded(source.migrate_to(destination))
    assert destination.execute("query-status")["status"] == "paused"
    world.served_by_nobody(source, destination)
    destination.execute("cont")
    world.served_by(destination, source)


def test_a_destination_that_starts_paused(world):
    source, destination = world.source(), world.destination("-S")
    world.use_disk(source)
    succeeded(source.migrate_to(destination))
    assert destination.execute("query-status")["status"] == "paused"
    world.served_by_nobody(source, destination)
    destination.execute("cont")
    world.served_by(destination, source)


# Channels.


def test_incoming_on_the_command_line(world, tmp_path):
    uri = f"unix:{tmp_path}/incoming"
    source = world.source()
    destination = world.raw(*world.argv(), "-incoming", uri, name="destination")
    world.use_disk(source)
    world.migrate(source, uri)
    source.wait_event("MIGRATION", status="completed")
    assert source.execute("query-status")["status"] == "postmigrate"
    assert destination.query_migrate().status == "completed"
    world.served_by(destination, source)


def test_a_failed_incoming_on_the_command_line_ends_the_process(world, tmp_path):
    uri = f"unix:{tmp_path}/incoming"
    source = world.source()
    destination = world.raw(*world.argv(), "-incoming", uri, name="destination")
    world.use_disk(source)
    destination.inject("refuse", at="descriptors-received")
    world.migrate(source, uri)
    source.wait_event("MIGRATION", status="failed")
    assert source.query_migrate().error_desc == "refused by an injected fault"
    assert destination.wait() == 1
    world.served_by(source)


def test_nobody_listens(world, tmp_path):
    source = world.source()
    world.use_disk(source)
    world.migrate(source, f"unix:{tmp_path}/nobody")
    source.wait_event("MIGRATION", status="failed")
    assert "No such file or directory" in source.query_migrate().error_desc
    world.served_by(source)


def over_tcp(source, destination) -> None:
    """Migrate without any backend, as to another host."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"tcp:127.0.0.1:{probe.getsockname()[1]}"
    destination.execute("migrate-incoming", uri=uri)
    events = [{"capability": "events", "state": True}]
    source.execute("migrate-set-capabilities", capabilities=events)
    source.execute("migrate", uri=uri)
    source.wait_event("MIGRATION", status="completed")
    destination.wait_event("RESUME")


def test_private_ram_is_copied_over_tcp(make_machine):
    argv = ["-M", "q35", "-m", "32"]
    source, destination = make_machine(*argv), make_machine(*argv, "-incoming", "defer")
    over_tcp(source, destination)
    assert source.execute("query-migrate")["ram"]["remaining"] == 0
    assert source.query_migrate().backend_transfer is None


def test_what_the_guest_knows_is_copied_over_tcp(disk_world, make_disk):
    """What each block must hold is in guest RAM: a byte lost there is an error of the disk."""
    blocks = 256
    disk_world.disk_path = make_disk("small", size=blocks * BLOCK).path
    source, destination = disk_world.pair()
    disk_world.moves_blocks(source, more=3 * blocks)  # each is written, then read
    source.execute("x-sim-guest-io", device="disk0", enable=False)
    over_tcp(source, destination)
    destination.execute("x-sim-guest-io", device="disk0", enable=True)
    disk_world.moves_blocks(destination, more=2 * blocks)


# Cancelling.


def test_cancel_at_each_point_before_commit(world):
    """The source goes on at once, each time, and the last attempt succeeds."""
    source, destination = world.pair()
    for point in BEFORE_COMMIT[1:]:  # at "setup" no destination takes part
        source.hold(point)
        migration = source.start_migration(destination)
        source.wait_held(point)
        source.execute("migrate_cancel")
        outcome = migration.wait()
        assert (outcome.source.status, outcome.destination.status) == ("cancelled", "failed")
        world.served_by(source, destination)
    succeeded(source.migrate_to(destination))
    world.served_by(destination, source)


def test_cancel_after_commit_comes_too_late(world):
    source, destination = world.pair()
    source.hold("commit-sent")
    migration = source.start_migration(destination)
    source.wait_held("commit-sent")
    source.execute("migrate_cancel")
    source.release()
    succeeded(migration.wait())
    world.served_by(destination, source)
