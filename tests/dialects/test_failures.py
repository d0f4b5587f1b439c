"""What can go wrong in a transfer, in each dialect: the numbers that no point and no row shows.

`test_points.py` has what may happen at each point, and `scenarios.py` what a manager may
ask for; `tests/migration/test_catalogue.py` says which number is shown where.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from dataclasses import replace

import pytest
from meeting import SIDES, Meeting
from pair import check_traffic, machines
from relay import Relay
from scenarios import SCENARIOS
from speakers import SPEAKERS

from qemu_sim.fds import open_descriptors
from qemu_sim.testing import QMPError
from qemu_sim.testing.ping import Ping

BOTH = SCENARIOS[0]
TUN = "/dev/net/tun"
THEIRS = [dialect for dialect in SPEAKERS if dialect != "devices"]


def in_each(dialects, **changes):
    """Play a test in each of these dialects: one process, and a pair of its own for each."""

    def decorate(play):
        def test(netns):
            for dialect in dialects:
                try:
                    with machines("in-process") as make:
                        scenario = replace(BOTH, **changes)
                        play(Meeting(make, dialect, scenario, patience=0.5))
                except BaseException as error:
                    raise AssertionError(dialect) from error

        return test

    return decorate


def ends(pair):
    return tuple(pair.ended(pair.side(name))["status"] for name in SIDES)


def taps():
    """Return the numbers of the TAPs' descriptors in this process, which is both machines'."""
    return [number for number, name in open_descriptors().items() if name == TUN]


# Descriptors.


@in_each(SPEAKERS)
def test_one_too_few(pair):
    pair.source.inject("lose-fd")
    pair.meet()
    assert ends(pair) == ("failed", "failed")
    pair.check_owner("source")


def test_one_too_many(netns, caplog):
    @in_each(SPEAKERS)
    def play(pair):
        caplog.clear()
        pair.source.inject("extra-fd")
        pair.meet()
        end = "failed" if pair.dialect == "devices" else "completed"
        assert ends(pair) == (end, end)
        pair.check_owner("source" if pair.dialect == "devices" else "destination")
        assert pair.dialect == "devices" or "was never claimed" in caplog.text

    play(netns)


@in_each(SPEAKERS)
def test_no_tap_at_all(pair):
    pair.source.inject("wrong-fd")
    pair.meet()
    if pair.dialect == "devices":
        assert ends(pair) == ("failed", "failed")
        pair.check_owner("source")
        return
    assert ends(pair) == ("completed", "completed")
    check_traffic(0, is_answered=False)
    check_traffic(1, is_answered=True)


@in_each(SPEAKERS)
def test_the_tap_of_another_device(pair):
    """Nobody but us looks which it is: each guest NIC is on the other's."""
    pair.source.inject("swap-devices")
    pair.meet()
    if pair.dialect == "devices":
        assert ends(pair) == ("failed", "failed")
        pair.check_owner("source")
        return
    assert ends(pair) == ("completed", "completed")
    pair.check_owner("destination")
    before = pair.destination.query_guest()
    check_traffic(0, is_answered=True)
    after = pair.destination.query_guest()
    assert [name for name in after if after[name] != before[name]] == ["nic1"]


@in_each(SPEAKERS, queues=(150, 150))
def test_more_than_one_message_can_carry(pair):
    pair.meet()
    assert ends(pair) == ("completed", "completed")
    pair.check_owner("destination")


@in_each(SPEAKERS)
def test_no_flag_of_an_open_file_changes(pair):
    """None lacks CLOEXEC, and each is read without blocking, by whoever has it in the end."""
    pair.destination.hold("device-loaded")
    pair.meet()
    pair.destination.wait_held("device-loaded")
    check_flags()
    pair.release()
    assert ends(pair) == ("completed", "completed")
    check_flags()
    pair.check_owner("destination")


def check_flags() -> None:
    for number in taps():
        assert fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        assert fcntl.fcntl(number, fcntl.F_GETFL) & os.O_NONBLOCK


@in_each(SPEAKERS)
def test_numbers_that_are_used_again_are_left_alone(pair):
    """What a failed attempt closes, somebody opens under the same numbers."""
    pair.source.hold("device-sent")
    pair.meet()
    pair.source.wait_held("device-sent")
    before = open_descriptors()
    pair.source.execute("migrate_cancel")
    pair.release()
    assert ends(pair) == ("cancelled", "failed")
    own = []
    while set(before) - set(open_descriptors()):
        own.append(os.memfd_create("own"))
    assert own
    pair.again()
    assert ends(pair) == ("completed", "completed")
    pair.check_owner("destination")
    for number in own:
        assert "own" in os.readlink(f"/proc/self/fd/{number}")
        os.close(number)


@in_each(THEIRS)
def test_the_source_keeps_the_interfaces_when_the_destination_ends(pair):
    """As in QEMU, where nobody commits: who listens sees no end of the destination."""
    pair.meet()
    assert ends(pair) == ("completed", "completed")
    pair.quit("destination")
    assert {"tap0", "tap1"} <= {name for _, name in socket.if_nameindex()}
    pair.source.execute("cont")
    pair.check_owner("source")


# The channel.


@in_each(SPEAKERS)
def test_a_relay_that_loses_descriptors(pair):
    relay_between(pair)
    assert ends(pair) == ("failed", "failed")
    pair.check_owner("source")


@in_each(SPEAKERS)
def test_a_relay_that_passes_all_on_byte_by_byte(pair):
    relay_between(pair, lambda _, data, fds: ([data], fds), size=1)
    assert ends(pair) == ("completed", "completed")
    pair.check_owner("destination")


def relay_between(pair, *args, **keywords) -> None:
    """Let the two meet through a relay; it ends with their connection."""
    pair.set_up()
    pair.listen(f"unix:{pair.path('socket')}")
    relay = Relay(pair.path("relay"), pair.path("socket"), *args, **keywords)
    pair.send(f"unix:{relay.path}")
    for name in SIDES:
        pair.ended(pair.side(name))
    relay.close()


@in_each(SPEAKERS)
def test_a_destination_that_falls_silent(pair):
    pair.destination.hold("accepted")
    pair.meet()
    pair.destination.wait_held("accepted")
    assert pair.ended(pair.source)["status"] == "failed"
    assert "timeout" in pair.error("source")
    pair.release()
    assert ends(pair) == ("failed", "failed")
    pair.check_owner("source")


@in_each(SPEAKERS)
def test_a_second_migration_and_a_second_peer(pair):
    pair.source.hold("active")
    pair.meet()
    pair.source.wait_held("active")
    uri = f"unix:{pair.path('socket')}"
    with pytest.raises(QMPError, match="There's a migration process in progress"):
        pair.send(uri)
    with pytest.raises(QMPError, match="The incoming migration has already been started"):
        pair.listen(uri)
    with socket.socket(socket.AF_UNIX) as peer, pytest.raises(FileNotFoundError):
        peer.connect(pair.path("socket"))
    pair.release()
    assert ends(pair) == ("completed", "completed")
    pair.check_owner("destination")


@in_each(SPEAKERS)
def test_a_netdev_whose_descriptors_are_under_way_stays(pair):
    pair.source.hold("device-sent")
    pair.meet()
    pair.source.wait_held("device-sent")
    for machine in pair.ends:
        with pytest.raises(QMPError, match="removing netdev 'net0' while migrating is not simul"):
            machine.execute("netdev_del", id="net0")
    pair.release()
    assert ends(pair) == ("completed", "completed")
    pair.check_owner("destination")


@in_each(SPEAKERS)
def test_paths_that_lead_nowhere(pair):
    pair.set_up()
    stale = pair.path("stale")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(stale)
    long = pair.path("x" * 108)
    for path, text in (
        (stale, "Connection refused"),
        (pair.path("none"), "No such file or directory"),
        (long, f"UNIX socket path '{long}' is too long"),
    ):
        pair.send(f"unix:{path}")
        assert pair.ended(pair.source)["status"] == "failed"
        assert text in pair.error("source")
    pair.check_owner("source")
    pair.listen(f"unix:{stale}")
    pair.send(f"unix:{stale}")
    assert ends(pair) == ("completed", "completed")
    pair.check_owner("destination")


# Traffic.


@in_each(SPEAKERS)
def test_nothing_in_transit_is_lost_or_doubled(pair):
    ping = Ping("10.0.0.2")
    thread = threading.Thread(target=ping.run, args=(1 << 15, 0.001))
    thread.start()
    pair.meet()
    assert ends(pair) == ("completed", "completed")
    pair.check_owner("destination")
    ping.stop()
    thread.join()
    counts = ping.report()
    assert counts["sent"] == counts["received"] > 10
    assert counts["duplicates"] == counts["spoilt"] == 0
