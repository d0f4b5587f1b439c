"""Whatever comes instead of a machine, a destination loads it or says that it failed.

Streams of our own and of real QEMUs are changed here and there. The destination never
hangs, shows no bug and keeps no descriptor; how much memory it takes is up to how much was
sent, not to what the stream says.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qemu_sim.argv.parse import parse
from qemu_sim.argv.report import Report
from qemu_sim.fds import open_descriptors
from qemu_sim.front import Front
from qemu_sim.host import Host
from qemu_sim.testing.factory import MachineFactory
from qemu_sim.wire import vmfile, vmstream

LIMIT = 20.0  # seconds in which it has ended; a phase in which nothing comes takes one
ENDS = ("completed", "failed")
DEVICES = (
    *("-netdev", "hubport,id=net0,hubid=0", "-device", "virtio-net-pci,id=nic0,netdev=net0"),
    *("-blockdev", "null-co,node-name=d0,read-zeroes=on"),
    *("-device", "virtio-blk-pci,id=disk0,drive=d0", "-device", "virtio-balloon-pci,id=b0"),
    *("-device", "pcie-root-port,id=port0", "-device", "qemu-xhci,id=usb0"),
)
GOLDEN = ("11.1-q35", "11.1-postcopy", "11.1-return-path", "7.2-pc", "7.2-postcopy")
DISK = (
    *("-object", "memory-backend-memfd,id=ram,size=1M,share=on"),
    *("-chardev", "socket,id=c0,path={disk}", "-device", "vhost-user-blk-pci,id=d0,chardev=c0"),
)
MACHINES = {
    "pc": ("pc", ()),
    "q35": ("q35", DEVICES),
    "disk": ("q35,memory-backend=ram", DISK),
}
shared = settings(deadline=None, suppress_health_check=list(HealthCheck))


def argv(profile, machine, disk):
    kind, devices = MACHINES[machine]
    devices = [each.format(disk=disk) for each in devices]
    return ["-M", kind, "-m", "1", *devices, "-sim", f"profile={profile},phase-timeout=1"]


class Machine:
    """One machine with its life, and what it prints."""

    def __init__(self, arguments):
        self.printed = []
        self.host = Host(Front(parse(arguments, Report("qemu-sim")), self.printed.append))

    async def __aenter__(self):
        await self.host.start()
        self._life = asyncio.create_task(self._live())
        return self

    async def _live(self):
        try:
            await self.host.wait()
        finally:
            await self.host.close()

    async def ended(self):
        """Wait for the end of a migration; return the status."""
        async with asyncio.timeout(LIMIT):
            while (  # noqa: ASYNC110 - a machine that ends with it tells nobody
                status := self.host.machine.migration.status.value
            ) not in ENDS:
                await asyncio.sleep(0.001)
        return status

    async def __aexit__(self, *_):
        self.host.machine.shut_down("host-signal")
        async with asyncio.timeout(LIMIT):
            await self._life
        assert not self.host.machine.bugs


async def load(arguments, pieces):
    """Send pieces, each with a number of descriptors, to a machine; return status and words."""
    before = open_descriptors()
    theirs, ours = socket.socketpair()
    ours.setblocking(False)
    os.set_inheritable(theirs.fileno(), True)
    incoming = ["-incoming", f"fd:{theirs.detach()}"]
    async with Machine([*arguments, *incoming]) as destination:
        with ours:
            await send(ours, pieces)
            status = await destination.ended()
        error = destination.host.machine.migration.query().get("error-desc", "")
    async with asyncio.timeout(LIMIT):
        # The disk's server is in this process, and hears a moment later.
        while open_descriptors().keys() != before.keys():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    return status, error, "".join(destination.printed)


async def send(sock, pieces):
    loop = asyncio.get_running_loop()
    try:
        for data, count in pieces:
            if count and data:
                socket.send_fds(sock, [data[:1]], count * [0])
            await loop.sock_sendall(sock, data[1:] if count else data)
        sock.shutdown(socket.SHUT_WR)
    except OSError:  # it has heard enough
        pass


def own_stream(make, arguments):
    """Return what a machine of ours writes."""
    theirs, ours = socket.socketpair()
    source = make(*arguments)
    source.send_fd("stream", theirs.fileno())
    theirs.close()
    source.execute("migrate", uri="fd:stream")
    with ours, ours.makefile("rb") as file:
        data = file.read()
    source.execute("quit")
    source.wait()
    return data


class Stream:
    """One stream, the command line that it fits, and where something begins in it."""

    def __init__(self, data, arguments):
        self.data, self.arguments = data, arguments
        items = list(vmfile.read(data))
        self.marks = [offset for offset, _ in items]
        heads = [
            (offset + len(vmstream.section_start(item.section)), item)
            for offset, item in items
            if isinstance(item, vmfile.Device)
        ]
        self.states = [
            (start, start + item.size) for start, item in heads if item.section.name[0] == "/"
        ]
        """Where the payload of each device of ours begins and ends."""


@pytest.fixture(scope="module")
def streams(golden_stream, tmp_path_factory):
    make = MachineFactory(str(tmp_path_factory.mktemp("streams")), "in-process")
    disk = make.make_disk().path
    found = {}
    for profile in ("11.1", "7.2"):
        for machine in MACHINES:
            arguments = argv(profile, machine, disk)
            found[f"{profile} {machine}"] = Stream(own_stream(make, arguments), arguments)
    for name in GOLDEN:
        profile, machine = name.split("-")[:2]
        arguments = argv(profile, "q35" if machine == "q35" else "pc", disk)
        found[name] = Stream(golden_stream(name), arguments)
    yield found
    assert make.close() == []


NUMBERS = st.sampled_from([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 4096, 1 << 20])


@st.composite
def changed(draw, streams):
    """Draw a stream, and pieces of it after a few changes, some with descriptors."""
    stream = streams[draw(st.sampled_from(sorted(streams)))]
    data, marks = bytearray(stream.data), stream.marks
    places = st.integers(0, len(data)) | st.builds(
        int.__add__, st.sampled_from(marks), st.integers(0, 60)
    )
    for _ in range(draw(st.integers(1, 3))):
        at = min(draw(places), len(data))
        match draw(st.sampled_from(["flip", "write", "cut", "delete", "insert", "splice"])):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "write":
                number = draw(NUMBERS).to_bytes(8)[-draw(st.sampled_from([1, 2, 4, 8])) :]
                data[at : at + len(number)] = number
            case "cut":
                del data[at:]
            case "delete":
                del data[at : at + draw(st.integers(1, 5000))]
            case "insert":
                data[at:at] = draw(st.binary(max_size=40))
            case "splice":
                other = streams[draw(st.sampled_from(sorted(streams)))].data
                start = min(draw(places), len(other))
                data[at:at] = other[start : start + draw(st.integers(1, 5000))]
    ends = sorted(min(draw(places), len(data)) for _ in range(draw(st.integers(0, 2))))
    starts = [0, *ends]
    return stream, [
        (bytes(data[start:end]), draw(st.integers(0, 2)) if start else 0)
        for start, end in zip(starts, [*ends, len(data)], strict=True)
    ]


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


def twisted(draw, value):
    """Return a JSON value that differs in one place, however deep."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 5)):
        keys = sorted(value) if isinstance(value, dict) else range(len(value))
        key = draw(st.sampled_from(keys))
        other = value.copy()
        if draw(st.integers(0, 5)):
            other[key] = twisted(draw, value[key])
        else:
            del other[key]
        return other
    if isinstance(value, int) and draw(st.booleans()):
        return value + draw(st.sampled_from([-1, 1, 1 << 16, 1 << 31, 1 << 63, -value - 1]))
    return draw(VALUES)


@st.composite
def restated(draw, streams):
    """Draw a stream of ours, and it with another state of one device."""
    own = sorted(name for name, stream in streams.items() if stream.states)
    stream = streams[draw(st.sampled_from(own))]
    start, end = draw(st.sampled_from(stream.states))
    state = twisted(draw, json.loads(stream.data[start + 4 : end]))
    text = json.dumps(state).encode()
    return stream, stream.data[:start] + len(text).to_bytes(4) + text + stream.data[end:]


def check(outcome):
    status, error, printed = outcome
    if status == "failed":
        assert "load of migration failed" in error + printed
    assert "Traceback" not in printed
    assert "bug in qemu-sim" not in error + printed


@shared
@given(data=st.data())
def test_any_change(streams, data):
    stream, pieces = data.draw(changed(streams))
    check(asyncio.run(load(stream.arguments, pieces)))


@shared
@given(data=st.data())
def test_any_state_of_a_device(streams, data):
    stream, changed_stream = data.draw(restated(streams))
    check(asyncio.run(load(stream.arguments, [(changed_stream, 0)])))


def test_unchanged_it_is_loaded(streams):
    for stream in streams.values():
        status, *words = asyncio.run(load(stream.arguments, [(stream.data, 0)]))
        assert status == "completed", words
