"""A user without privileges has too many descriptors in flight: a hand-over waits, or fails.

Linux counts them for all processes of the user together (net/core/scm.c, ETOOMANYREFS),
so what fills the quota need not be the source. The machines are in this process, as it is
the one that gives its privileges up.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import tempfile
import time
from dataclasses import replace

import pytest
from pair import Pair
from scenarios import SCENARIOS
from speakers import SPEAKERS

from qemu_sim.testing.factory import MachineFactory

NOBODY = 65534
SPARE = 60  # numbers that the process may still open


class Quota:
    """All of what the user may have in flight, until `free`."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            while True:
                socket.send_fds(self._here, [b"x"], 16 * [null])
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
        finally:
            os.close(null)

    def free(self) -> None:
        self._here.close()
        self._there.close()


def give_up_privileges() -> None:
    """Become nobody; in a user namespace of one's own, root has none of those that matter."""
    soft = max(map(int, os.listdir("/proc/self/fd"))) + SPARE
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
    with open("/proc/self/uid_map") as uids:
        if uids.read().split() == ["0", "0", str(2**32 - 1)]:
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)


@pytest.fixture
def directory():
    made = tempfile.mkdtemp(prefix="qemu-sim-")
    if os.getuid() == 0:
        shutil.chown(made, NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def make(netns, directory):
    factory = MachineFactory(directory, "in-process")
    yield factory
    assert factory.close() == []


def argv(timeout):
    return [
        *("-M", "q35,memory-backend=ram", "-m", "16"),
        *("-object", "memory-backend-memfd,id=ram,size=16M,share=on"),
        *("-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no,queues=4"),
        *("-device", "virtio-net-pci,id=nic0,netdev=net0,mq=on"),
        *("-sim", f"phase-timeout={timeout}"),
    ]


def begin(make, netns, timeout):
    """Begin a migration, and fill the quota when both have agreed."""
    source = make(*argv(timeout), name="source")
    netns.up("tap0", "10.0.0.1/24")
    destination = make(*argv(timeout), "-incoming", "defer", name="destination")
    give_up_privileges()
    source.hold("stopped")
    migration = source.start_migration(destination)
    source.wait_held("stopped")
    quota = Quota()
    source.release()
    return source, destination, migration, quota


def is_echoed() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(("10.0.0.2", 4711))
        sock.send(b"echo")
        return sock.recv(100) == b"echo"


def test_they_wait_until_there_is_room(make, netns):
    source, destination, migration, quota = begin(make, netns, timeout=30)
    time.sleep(0.1)  # longer than a hand-over takes
    assert source.query_migrate().status == "device"
    quota.free()
    assert migration.wait().source.status == "completed"
    assert destination.execute("query-status")["running"]
    assert is_echoed()


@pytest.mark.parametrize("dialect", sorted(set(SPEAKERS) - {"devices"}))
def test_they_wait_in_each_dialect(make, netns, dialect):
    pair = Pair(make, dialect, replace(SCENARIOS[0], queues=(4, 4)))
    pair.source.hold("stopped")
    pair.meet()
    pair.source.wait_held("stopped")
    give_up_privileges()
    quota = Quota()
    pair.source.release()
    time.sleep(0.1)  # in which it would have got on: no event tells that it does not
    assert pair.source.query_migrate().status == "device"
    quota.free()
    assert [pair.ended(each)["status"] for each in pair.ends] == ["completed", "completed"]
    assert is_echoed()


def test_they_do_not_wait_for_ever(make, netns):
    source, destination, migration, quota = begin(make, netns, timeout=0.3)
    outcome = migration.wait()
    quota.free()
    assert (outcome.source.status, outcome.destination.status) == ("failed", "failed")
    assert "too many descriptors are in flight (RLIMIT_NOFILE is" in outcome.source.error_desc
    assert source.execute("query-status")["running"]
    assert is_echoed()
    assert source.migrate_to(destination).source.status == "completed"
    assert is_echoed()


def test_a_cancel_does_not_wait(make, netns):
    source, _, migration, quota = begin(make, netns, timeout=30)
    source.execute("migrate_cancel")
    assert migration.wait().source.status == "cancelled"
    quota.free()
    assert is_echoed()
