"""One TAP and one disk, and the daemons that hand them to each other.

Who owns them is asked in two ways that must agree: the traffic of the outside world, and
the counters of each machine's guest.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from relay import Relay

# Not used here, but once in this process instead of once in each test's own.
import qemu_sim.testing.factory
import qemu_sim.testing.reports  # noqa: F401
from qemu_sim.testing.ping import Ping

ADDRESS = "10.0.0.2"
TIMEOUT = 10.0  # seconds
_RAM = ["-object", "memory-backend-memfd,id=ram,size=64M,share=on", "-m", "64"]


def until(condition, what: str) -> None:
    """Fail unless `condition()`, a question to another process, becomes true in time."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"not reached: {what}"


def _most(machines):
    """Count what the guest did, of each device. A destination takes the counts of its source over."""
    reports = [machine.query_guest() for machine in machines]
    return {
        name: tuple(
            max(getattr(report[name], what) for report in reports)
            for what in ("requests", "frames_in", "frames_out")
        )
        for name in reports[0]
    }


class World:
    """Starts machines with one NIC, on tap0, and one disk, served at `disk_path`.

    There is no NIC without `netns`, and no disk without `disk_path`.
    """

    def __init__(self, make, netns, disk_path) -> None:
        self.netns = netns
        self.disk_path = disk_path
        self.queues = 1
        self.raw = make

    def argv(self, *, queues=None, disk=None, machine="q35", tap="tap0", nic="", blk="") -> list:
        """Return a command line; `nic` and `blk` are more properties, such as ",mac=…"."""
        queues = queues or self.queues
        many = f",queues={queues}" if queues > 1 else ""
        arguments = ["-machine", f"{machine},memory-backend=ram", *_RAM]
        if self.netns is not None:
            mq = f",mq={'on' if many else 'off'}"
            arguments += ["-netdev", f"tap,id=net0,ifname={tap},script=no,downscript=no{many}"]
            arguments += ["-device", f"virtio-net-pci,id=nic0,netdev=net0{mq}{nic}"]
        path = disk or self.disk_path
        if path is not None:
            arguments += ["-chardev", f"socket,id=char0,path={path}"]
            arguments += ["-device", f"vhost-user-blk-pci,id=disk0,chardev=char0{blk}"]
        return arguments

    def source(self, *more, name="source", **options):
        """Start a machine that owns both."""
        machine = self.raw(*self.argv(**options), *more, name=name)
        if self.netns is not None:
            self.netns.up("tap0", "10.0.0.1/24")
        return machine

    def destination(self, *more, name="destination", **options):
        """Start a machine that waits for a migration."""
        return self.raw(*self.argv(**options), "-incoming", "defer", *more, name=name)

    def pair(self, *more, load=True):
        """Start both at once with the same settings, and the source's use of its disk."""
        with ThreadPoolExecutor() as pool:
            destination = pool.submit(self.destination, *more)
            source = self.source(*more)
        if load and self.disk_path is not None:
            self.use_disk(source)
        return source, destination.result()

    def migrate(self, source, uri, **arguments) -> None:
        """Begin to migrate to any address."""
        capabilities = [{"capability": "events", "state": True}]
        source.execute("migrate-set-capabilities", capabilities=capabilities)
        source.execute("migrate", uri=uri, backend_transfer=True, **arguments)

    def use_disk(self, machine, depth=4) -> None:
        """Put the disk under a load of writes that are read back and verified."""
        machine.execute(
            "x-sim-guest-io", device="disk0", enable=True, queue_depth=depth, write=True
        )

    def ping(self, count=10, linger=2.0) -> dict:
        """Ping the guest and return the counts."""
        ping = Ping(ADDRESS)
        ping.run(count, 0.002, linger)
        return ping.report()

    @contextmanager
    def pinging(self):
        """Ping the guest all the while; the counts are in the dict once it is over."""
        counts: dict = {}
        # As many flows as it takes for the kernel to use each of a few queues.
        pings = [Ping(f"10.0.0.{2 + flow}") for flow in range(2 * self.queues - 1)]
        threads = [threading.Thread(target=ping.run, args=(1 << 15, 0.003)) for ping in pings]
        for thread in threads:
            thread.start()
        try:
            yield counts
        finally:
            for ping, thread in zip(pings, threads, strict=True):
                ping.stop()
                thread.join()
                for name, count in ping.report().items():
                    counts[name] = counts.get(name, 0) + count

    def tap_exists(self) -> bool:
        """Whether anybody at all holds tap0."""
        with open("/proc/net/dev") as table:
            return "tap0:" in table.read()

    def served_by(self, owner, *others) -> None:
        """Assert that `owner` answers each ping once and moves blocks, and no other does."""
        machines = [owner, *others]
        before = [machine.query_guest() for machine in machines]
        counts = self.ping()
        assert (counts["received"], counts["duplicates"], counts["spoilt"]) == (10, 0, 0)
        if self.disk_path is not None:
            self.moves_blocks(owner)
        after = [machine.query_guest() for machine in machines]
        assert after[0]["nic0"].frames_out >= before[0]["nic0"].frames_out + 10
        assert after[1:] == before[1:]
        assert owner.execute("query-status")["running"]

    def moves_blocks(self, machine, more=20) -> None:
        """Assert that the disk's requests go on, and that each finds what was written."""
        goal = machine.query_guest()["disk0"].requests + more
        until(lambda: machine.query_guest()["disk0"].requests >= goal, "requests of the disk")
        assert machine.query_guest()["disk0"].errors == 0

    def served_by_nobody(self, *machines) -> None:
        """Assert that the TAP is held, but neither frame nor block moves."""
        assert self.tap_exists()
        before = _most(machines)
        assert self.ping(3, linger=0.05)["received"] == 0
        assert _most(machines) == before
        assert not any(machine.execute("query-status")["running"] for machine in machines)


@pytest.fixture
def qemu_sim_mode():
    return "daemon"


@pytest.fixture
def wait():
    """Wait for a condition of another process."""
    return until


@pytest.fixture
def disk(make_disk):
    return make_disk("disk")


@pytest.fixture
def make_world(netns, make_machine):
    """Make a World of a disk's socket path, or of none."""
    return partial(World, make_machine, netns)


@pytest.fixture
def world(make_world, disk):
    return make_world(disk.path)


@pytest.fixture
def disk_world(make_machine, disk):
    """Without a NIC, hence for anybody anywhere."""
    return World(make_machine, None, disk.path)


@pytest.fixture
def net_world(make_world):
    """Without a disk."""
    return make_world(None)


@pytest.fixture
def relay(tmp_path):
    """Put a relay in front of a machine that waits for a migration; returns the way there."""
    made = []

    def make(destination, *args, **keywords):
        target = destination.listen().removeprefix("unix:")
        made.append(Relay(str(tmp_path / "relay"), target, *args, **keywords))
        return f"unix:{made[-1].path}"

    yield make
    for each in made:
        each.close()
