"""What becomes of descriptors themselves: their number, their flags, their limits."""

from __future__ import annotations

import os
import signal

import pytest

from qemu_sim.fds import open_descriptors
from qemu_sim.io import tun
from qemu_sim.testing.ping import Ping

QUEUES = 150
SHARED_FLAGS = os.O_NONBLOCK | os.O_ACCMODE  # of the open file, not of the number
KINDS = ("/dev/net/tun", "anon_inode:[eventfd]")
NUMBERS = (0, 1, 2)  # standard input and output are everybody's
POINTS = {
    "source": ("offer-sent", "stopped", "descriptors-sent", "ready-received", "started-received"),
    "destination": ("answer-sent", "descriptors-received", "ready-sent", "commit-received"),
}


def info(pid, number):
    """Return the flags that /proc tells, as a number."""
    with open(f"/proc/{pid}/fdinfo/{number}") as lines:
        return next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))


def shared_flags(machine):
    """Return the flags of all open files that travel, by what they are."""
    names = open_descriptors(machine.pid).items()
    return {
        kind: sorted(
            info(machine.pid, number) & SHARED_FLAGS for number, name in names if name == kind
        )
        for kind in KINDS
    }


def inheritable(pid):
    return [
        f"{number} {name}"
        for number, name in open_descriptors(pid).items()
        if number not in NUMBERS and not info(pid, number) & os.O_CLOEXEC
    ]


def held(source, destination, side, point):
    """Begin a migration that is held at `point`."""
    holder = {"source": source, "destination": destination}[side]
    holder.hold(point)
    migration = source.start_migration(destination)
    holder.wait_held(point)
    return holder, migration


AT_EACH_POINT = pytest.mark.parametrize(
    ("side", "point"), [(side, point) for side, points in POINTS.items() for point in points]
)


def test_more_than_one_message_can_carry(netns, make_machine, wait):
    """300 queues of two NICs; the kernel takes 253 descriptors with one message."""
    argv = ["-M", "q35,memory-backend=ram", "-m", "64"]
    argv += ["-object", "memory-backend-memfd,id=ram,size=64M,share=on"]
    for nic in (0, 1):
        tap = f"tap,id=net{nic},ifname=tap{nic},script=no,downscript=no,queues={QUEUES}"
        argv += ["-netdev", tap, "-device", f"virtio-net-pci,id=nic{nic},netdev=net{nic},mq=on"]
    source = make_machine(*argv, name="source")
    destination = make_machine(*argv, "-incoming", "defer", name="destination")
    outcome = source.migrate_to(destination)
    assert (outcome.source.status, outcome.destination.status) == ("completed", "completed")
    assert [device.fds for device in outcome.source.devices.values()] == [QUEUES, QUEUES]
    taps = [name for name in open_descriptors(destination.pid).values() if name == "/dev/net/tun"]
    assert len(taps) == 2 * QUEUES
    assert "/dev/net/tun" not in open_descriptors(source.pid).values()


@AT_EACH_POINT
def test_no_child_could_inherit_one(world, side, point):
    source, destination = world.pair()
    holder, migration = held(source, destination, side, point)
    assert inheritable(source.pid) == []
    assert inheritable(destination.pid) == []
    holder.release()
    assert migration.wait().source.status == "completed"
    assert inheritable(destination.pid) == []


def test_a_child_does_not_keep_the_interface_alive(world, wait, tmp_path):
    """It was started by the new owner, and outlives it; the TAP goes with its last descriptor."""
    source, destination = world.pair()
    assert source.migrate_to(destination).source.status == "completed"
    child = tmp_path / "pid"
    uri = f"exec:echo $$ >{child}.new; mv {child}.new {child}; exec sleep 1000"
    destination.execute("migrate", uri=uri)
    wait(child.exists, "the child runs")
    pid = int(child.read_text())
    try:
        assert world.tap_exists()
        destination.kill()
        wait(lambda: not world.tap_exists(), "the TAP goes with its last owner")
        os.kill(pid, 0)
        assert "/dev/net/tun" not in open_descriptors(pid).values()
    finally:
        os.kill(pid, signal.SIGKILL)


@AT_EACH_POINT
def test_nobody_changes_the_flags_of_an_open_file(world, side, point):
    """O_NONBLOCK belongs to both ends: whoever clears it lets the other one hang in a read."""
    source, destination = world.pair()
    before = shared_flags(source)
    assert all(flags & os.O_NONBLOCK for each in before.values() for flags in each)
    holder, migration = held(source, destination, side, point)
    if point != "started-received":  # there it has closed nothing yet, but might have
        assert shared_flags(source) == before
    holder.release()
    assert migration.wait().source.status == "completed"
    assert shared_flags(destination) == before
    world.served_by(destination, source)


@pytest.mark.parametrize("point", ["stopped", "ready-received"])
def test_flags_are_as_they_were_when_it_comes_to_nothing(world, point):
    source, destination = world.pair()
    before = shared_flags(source)
    _, migration = held(source, destination, "source", point)
    source.execute("migrate_cancel")
    assert migration.wait().source.status == "cancelled"
    assert shared_flags(source) == before
    world.served_by(source, destination)


def test_a_flag_that_somebody_cleared_is_set_before_the_first_read(netns, make_machine):
    """By a third owner of the open file, here the one who had opened it for the source."""
    queue, _ = tun.open_queue("tap0", tun.IFF_TAP | tun.IFF_NO_PI | tun.IFF_VNET_HDR)
    given = queue.share()
    argv = ["-M", "q35,memory-backend=ram", "-m", "64"]
    argv += ["-object", "memory-backend-memfd,id=ram,size=64M,share=on"]
    nic = ["-device", "virtio-net-pci,id=nic0,netdev=net0"]
    number = given.detach()
    source = make_machine(
        *argv, "-netdev", f"tap,id=net0,fd={number}", *nic, name="source", pass_fds=[number]
    )
    netns.up("tap0", "10.0.0.1/24")
    tap = "tap,id=net0,ifname=tap0,script=no,downscript=no"
    destination = make_machine(
        *argv, "-netdev", tap, *nic, "-incoming", "defer", name="destination"
    )
    _, migration = held(source, destination, "destination", "commit-received")
    with queue:
        os.set_blocking(queue.fileno(), True)
        destination.release()
        assert migration.wait().source.status == "completed"
        assert not os.get_blocking(queue.fileno())
    ping = Ping("10.0.0.2")
    ping.run(3, 0.002, 2.0)
    assert ping.report()["received"] == 3


def test_a_number_that_is_used_again_is_left_alone(make_machine, netns):
    """What failed attempts close, others open under the same numbers: nothing of theirs ends."""
    argv = ["-M", "q35,memory-backend=ram", "-m", "64"]
    argv += ["-object", "memory-backend-memfd,id=ram,size=64M,share=on"]
    argv += ["-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no,queues=4"]
    argv += ["-device", "virtio-net-pci,id=nic0,netdev=net0,mq=on"]
    source = make_machine(*argv, name="source")
    destination = make_machine(*argv, "-incoming", "defer", name="destination")
    used: set[int] = set()
    for _ in range(4):
        _, migration = held(source, destination, "source", "ready-received")
        before = open_descriptors(destination.pid)
        source.execute("migrate_cancel")
        assert migration.wait().source.status == "cancelled"
        destination.wait_event("MIGRATION", status="failed")
        freed = before.keys() - open_descriptors(destination.pid).keys()
        used |= {add_own(destination) for _ in freed}
        assert freed <= used
    assert source.migrate_to(destination).source.status == "completed"
    names = open_descriptors(destination.pid)
    assert {number for number, name in names.items() if "own" in name} == used


def add_own(machine):
    """Give `machine` a descriptor of ours; return the number it has there."""
    fd = os.memfd_create("own")
    try:
        return machine.execute("add-fd", fds=[fd])["fd"]
    finally:
        os.close(fd)
