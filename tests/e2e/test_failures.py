"""What can go wrong in a hand-over between two processes, one named test each.

Failures that are tested elsewhere:
a peer that dies before or after the descriptors were sent, a commit that is not read
    test_kill.py
a leak that shows only after many rounds
    test_round_trips.py, tests/backends/test_tap_transfer.py
each wrong kind of descriptor for each role, refused before anything is changed
    tests/backends/test_tap_transfer.py, tests/vhost_user/test_hand_over.py
a peer that says nothing
    test_silence.py
any cut of the stream between header, bytes and descriptors
    tests/migration/test_stream.py
"""

from __future__ import annotations

import os
import signal
import socket

import pytest

from qemu_sim.testing import QMPError
from qemu_sim.wire import vmmessage


def rolled_back(world, source, destination, text) -> None:
    """Assert that the attempt has failed with `text`, and that the source goes on alone."""
    source.wait_event("MIGRATION", status="failed")
    assert text in source.query_migrate().error_desc
    assert source.execute("query-status")["status"] == "running"
    for device in source.query_migrate().devices.values():
        assert device.outcome != "transferred"
        assert device.reason is not None
    destination.wait_event("MIGRATION", status="failed")
    assert destination.execute("query-status")["status"] == "inmigrate"
    world.served_by(source, destination)


def lost_after_commit(world, source, destination) -> None:
    """Assert that nobody serves after a commit of unknown effect, not even by itself later."""
    source.wait_event("MIGRATION", status="failed")
    destination.wait_event("MIGRATION", status="failed")
    assert source.execute("query-status")["status"] == "postmigrate"
    assert "commit was sent" in source.query_migrate().error_desc
    world.served_by_nobody(source, destination)


# Descriptors.


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("lose-fd", "nic0: descriptor queue[0] of 1 was announced but no descriptor came with it"),
        ("extra-fd", "was announced, 2 descriptors came in its place"),
        ("wrong-fd", "Device 'nic0' cannot be transferred: queue 0: the descriptor is not a TAP"),
        ("swap-devices", "Device 'nic0' cannot be transferred: queue 0: the descriptor is not"),
    ],
)
def test_fewer_more_wrong_or_swapped_descriptors(world, fault, text):
    source, destination = world.pair()
    source.inject(fault)
    source.start_migration(destination)
    rolled_back(world, source, destination, text)


def test_roles_of_one_device_are_swapped(world):
    """The first device is struck, so the disk comes first."""
    *rest, a, b, c, d = world.argv()
    source = world.raw(a, b, c, d, *rest, name="source")
    world.netns.up("tap0", "10.0.0.1/24")
    destination = world.raw(a, b, c, d, *rest, "-incoming", "defer", name="destination")
    world.use_disk(source)
    world.moves_blocks(source)
    source.inject("swap-roles")
    source.start_migration(destination)
    text = "Device 'disk0' cannot be transferred: disk0: descriptor "
    rolled_back(world, source, destination, text)


def test_the_right_type_but_another_tap(net_world):
    """Two NICs get each other's queue: both are TAPs."""
    second = [
        *("-netdev", "tap,id=net1,ifname=tap1,script=no,downscript=no"),
        *("-device", "virtio-net-pci,id=nic1,netdev=net1"),
    ]
    source, destination = net_world.pair(*second)
    source.inject("swap-devices")
    source.start_migration(destination)
    text = "Device 'nic0' cannot be transferred: queue 0: belongs to tap1, expected tap0"
    rolled_back(net_world, source, destination, text)


@pytest.mark.parametrize(
    ("mark", "size"),
    [(b"Q", 1), (b"vmsd_name", 1 << 16)],
    ids=["on the first byte", "on the last bytes"],
)
def test_a_descriptor_that_nothing_announced(world, relay, mark, size):
    """It must be missed by nobody, and never be taken for another one."""
    source, destination = world.pair()
    extra = os.open(os.devnull, os.O_RDONLY)
    rider = [extra]

    def add(forth, data, fds):
        return [data], fds + ([rider.pop()] if forth and mark in data and rider else [])

    world.migrate(source, relay(destination, add, size))
    rolled_back(world, source, destination, "was never claimed")
    assert rider == []


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
def test_a_connection_in_the_middle_of_a_message(make_world, server):
    """The server owes an answer: who gets the socket could not tell what comes next."""
    world = make_world(server.path)
    first, second = world.pair()
    third = world.destination(name="third")
    second.hold("commit-received")
    migration = first.start_migration(second, devices=["nic0"])
    second.wait_held("commit-received")
    # The second one has a new connection, and is about to tell the server of its rings.
    server.process.send_signal(signal.SIGSTOP)
    second.release()
    assert migration.wait().source.status == "completed"
    second.start_migration(third)
    second.wait_event("MIGRATION", status="failed")
    assert "a message is under way" in second.query_migrate().error_desc
    server.process.send_signal(signal.SIGCONT)
    world.served_by(second, third)
    assert second.migrate_to(third).source.status == "completed"
    world.served_by(third, second)


# Settings that do not fit.


@pytest.mark.parametrize(
    ("there", "text"),
    [
        ({"queues": 4}, "queues is 2 on the source and 4 on the destination"),
        ({"tap": "tap1", "queues": 2}, "ifname is tap0 on the source and tap1 on the destination"),
    ],
    ids=["queues", "ifname"],
)
def test_a_mismatch_names_both_values(net_world, there, text):
    source = net_world.source(queues=2)
    destination = net_world.destination(**there)
    source.start_migration(destination, devices=["nic0"])
    text = f"Device 'nic0' cannot be transferred: {text}"
    rolled_back(net_world, source, destination, text)
    assert source.query_migrate().devices["nic0"].outcome == "refused"


def test_a_vnet_header_on_one_side_only(net_world):
    source = net_world.source()
    arguments = [text.replace("tap,", "tap,vnet_hdr=off,") for text in net_world.argv()]
    destination = net_world.raw(*arguments, "-incoming", "defer", name="destination")
    source.start_migration(destination, devices=["nic0"])
    text = "vnet-hdr is True on the source and False on the destination"
    rolled_back(net_world, source, destination, text)


# The channel.


def test_a_relay_that_loses_descriptors(world, relay):
    """Both its ends are unix sockets: only the handshake's descriptor finds it out."""
    source, destination = world.pair()
    world.migrate(source, relay(destination))
    rolled_back(world, source, destination, "the handshake descriptor was announced but no")
    assert [event["event"] for event in source.events].count("STOP") == 0


def test_a_relay_that_passes_descriptors_on_byte_by_byte(world, relay):
    """Each read gives one byte at most: header, JSON and descriptors come in pieces."""
    source, destination = world.pair()
    world.migrate(source, relay(destination, lambda _, data, fds: ([data], fds), size=1))
    source.wait_event("MIGRATION", status="completed")
    world.served_by(destination, source)


@pytest.mark.parametrize("uri", ["tcp:127.0.0.1:1", "tcp:[::1]:1"])
def test_tcp_is_refused_at_the_command(world, uri):
    source = world.source()
    with pytest.raises(QMPError, match="backend-transfer requires a UNIX domain socket channel"):
        source.execute("migrate", uri=uri, backend_transfer=True)
    assert source.query_migrate().status is None
    world.use_disk(source)
    world.served_by(source)


def test_commit_is_lost_on_the_way(world, relay):
    """Both processes live, and neither can know: none starts by itself, 'cont' decides."""
    source, destination = world.pair()
    ready = vmmessage.reply(vmmessage.REPLY_READY, {})
    heard = []

    def lose_commit(forth, data, fds):
        if forth and heard:
            return None
        if not forth and ready in data:
            heard.append(ready)
        return [data], fds

    world.migrate(source, relay(destination, lose_commit))
    lost_after_commit(world, source, destination)
    destination.execute("cont")
    world.served_by(destination, source)


def test_the_destination_fails_after_commit(world):
    """The source does not resume, whatever it hears."""
    source, destination = world.pair()
    destination.inject("refuse", at="commit-received")
    source.start_migration(destination)
    lost_after_commit(world, source, destination)
    assert "but the destination says it failed" in source.query_migrate().error_desc
    source.execute("cont")
    world.served_by(source, destination)


# A second one.


def test_a_second_migration_and_a_second_peer(world):
    source, destination = world.pair()
    path = destination.listen()
    source.hold("answer-received")
    migration = source.start_migration(destination)
    source.wait_held("answer-received")
    with pytest.raises(QMPError, match="There's a migration process in progress"):
        source.execute("migrate", uri=path, backend_transfer=True)
    with pytest.raises(QMPError, match="The incoming migration has already been started"):
        destination.execute("migrate-incoming", uri=f"{path}2")
    with socket.socket(socket.AF_UNIX) as peer, pytest.raises(FileNotFoundError):
        peer.connect(path.removeprefix("unix:"))
    source.release()
    assert migration.wait().source.status == "completed"
    world.served_by(destination, source)


# Afterwards.


def test_the_server_sees_the_end_of_the_destination(world, disk, wait):
    """No copy that the source kept hides it."""
    source, destination = world.pair()
    assert source.migrate_to(destination).source.status == "completed"
    world.served_by(destination, source)
    assert [entry["event"] for entry in disk.log].count("disconnect") == 0
    destination.kill()
    wait(lambda: disk.log[-1]["event"] == "disconnect", "the server sees it")
    wait(lambda: not world.tap_exists(), "the TAP goes with its last owner")
    assert source.execute("query-status")["status"] == "postmigrate"
    with pytest.raises(QMPError, match="Backends were handed over to the destination: nic0, disk0"):
        source.execute("cont")
