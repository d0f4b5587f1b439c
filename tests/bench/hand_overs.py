"""How long a guest stands still, how long a migration takes, and what a thousand leave."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import floor
from figures import Row, median, milliseconds, percentile
from monitor import Listener, spawn
from pair import Pair, migrate

from qemu_sim.testing import netns
from qemu_sim.testing.listening import wait_for_listener

SIM = [sys.executable, "-m", "qemu_sim"]
_RAM = [
    *("-machine", "q35,memory-backend=ram", "-m", "64M"),
    *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
]
_EVENTS = [{"capability": "events", "state": True}]
_IMAGE_SIZE = 64 << 20
_QUEUE_DEPTH = 32
_HAND_OVERS = 200
_FRESH = 20
_MANY = 1000
_SETTLED = 100  # hand-overs after which nothing may grow any more
_MIGRATIONS = 50
_QEMU_MIGRATIONS = 5
_MAY_GROW_KIB = 512


def blackout_tap(directory, qemus):
    return _blackout("blackout, one TAP", directory, _taps(1), fds=1)


def blackout_queues(directory, qemus):
    return _blackout("blackout, one TAP of 8 queues", directory, _taps(1, queues=8), fds=8)


def blackout_disk(directory, qemus):
    name = f"blackout, vhost-user disk at queue depth {_QUEUE_DEPTH}"
    with _served_disk(directory) as disk:
        return _blackout(name, directory, disk, fds=4, prepare=_use_disk)


def blackout_fresh(directory, qemus):
    """Measure processes that have never handed anything over: what an update meets."""
    times = []
    listener = Listener(directory)
    for _ in range(_FRESH):
        with ExitStack() as stack:
            blackout, _ = _migrate_once(stack, listener, directory, SIM, _taps(1), transfer=True)
            times.append(blackout)
    name = f"blackout, one TAP, each of {_FRESH} times by two new processes"
    return [Row(name, milliseconds(median(times)), target=1e-3, value=median(times))]


def migration(directory, qemus):
    """Measure from the command to the event `completed`."""
    times = [whole for _, whole in _hand_overs(directory, _taps(8), _MIGRATIONS)]
    beside = {
        name: milliseconds(median(_bare_migrations(directory, command)))
        for name, command in qemus.items()
    }
    name = "migrate, 8 TAPs and 64 MiB shared RAM (QEMU: no backend)"
    row = Row(name, milliseconds(median(times)), target=20e-3, value=median(times), beside=beside)
    return [row]


def leaks(directory, qemus):
    """Hand over a TAP and a disk a thousand times and count what is left."""
    with _served_disk(directory) as disk, ExitStack() as stack:
        pair = Pair(Listener(directory), directory, [*_taps(1), *disk[len(_RAM) :]], _use_disk)
        stack.callback(pair.close)
        for _ in range(_SETTLED):
            pair.hand_over()
        before = pair.census()
        for _ in range(_MANY):
            pair.hand_over()
        after = pair.census()
    grown = {
        kind: max(new[kind] - old[kind] for old, new in zip(before, after, strict=True))
        for kind in before[0]
    }
    limits = {"descriptors": 0, "tasks": 0, "resident-kib": _MAY_GROW_KIB}
    return [
        Row(f"{kind} more after {_MANY} hand-overs", str(grown[kind]), limit, grown[kind])
        for kind, limit in limits.items()
    ]


def _blackout(name, directory, argv, *, fds, prepare=lambda _: None):
    times = [time for time, _ in _hand_overs(directory, argv, _HAND_OVERS, prepare)]
    least = median(floor.round_trips(fds))
    beside = {"floor": f"{milliseconds(least)}, x{median(times) / least:.0f}"}
    worst = percentile(times, 99)
    return [
        Row(f"{name}: median", milliseconds(median(times)), 1e-3, median(times), beside),
        Row(f"{name}: p99", milliseconds(worst), 5e-3, worst),
    ]


def _hand_overs(directory, argv, count, prepare=lambda _: None):
    with ExitStack() as stack:
        pair = Pair(Listener(directory), directory, argv, prepare)
        stack.callback(pair.close)
        return [pair.hand_over() for _ in range(count)]


def _bare_migrations(directory, command):
    """Migrate a real QEMU with no backend."""
    argv = ["-machine", "q35", "-m", "64M", "-nodefaults", "-display", "none"]
    listener, times = Listener(directory), []
    for _ in range(_QEMU_MIGRATIONS):
        with ExitStack() as stack:
            _, whole = _migrate_once(stack, listener, directory, command, argv, transfer=False)
            times.append(whole)
    return times


def _migrate_once(stack, listener, directory, command, argv, *, transfer):
    ends = []
    for more in ([], ["-incoming", "defer"]):
        process, monitor = spawn([*command, *argv, *more], listener)
        stack.callback(process.wait)
        stack.callback(process.kill)
        stack.callback(monitor.close)
        monitor.negotiate()
        monitor.execute("migrate-set-capabilities", capabilities=_EVENTS)
        ends.append(monitor)
    arguments = {"backend_transfer": True} if transfer else {}
    return migrate(*ends, f"unix:{os.path.join(directory, 'once.sock')}", **arguments)


def _taps(count, queues=1):
    """Return the command line of a machine with NICs on TAPs. Skips where there is no TAP."""
    if obstacle := netns.why_not():
        raise RuntimeError(obstacle)
    argv = list(_RAM)
    for number in range(count):
        tap = f"tap,id=net{number},ifname=tap{number},script=no,downscript=no"
        nic = f"virtio-net-pci,id=nic{number},netdev=net{number}"
        many = (f",queues={queues}", ",mq=on") if queues > 1 else ("", "")
        argv += ["-netdev", tap + many[0], "-device", nic + many[1]]
    return argv


@contextmanager
def _served_disk(directory):
    """Yield the command line of a machine with a disk, which our own server serves."""
    path, image = (os.path.join(directory, name) for name in ("disk.sock", "disk.image"))
    with open(image, "wb") as file:
        file.truncate(_IMAGE_SIZE)
    server = subprocess.Popen([*SIM, "vhost-user-blk", "--socket", path, "--image", image])
    try:
        wait_for_listener(path, within=10)
        chardev = ["-chardev", f"socket,id=char0,path={path}"]
        yield [*_RAM, *chardev, "-device", "vhost-user-blk-pci,id=disk0,chardev=char0"]
    finally:
        server.terminate()
        server.wait()


def _use_disk(monitor):
    load = {"enable": True, "queue_depth": _QUEUE_DEPTH, "write": True}
    monitor.execute("x-sim-guest-io", device="disk0", **load)
