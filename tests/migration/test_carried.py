"""A TAP's queues in a plain stream: upstream's layout, and what becomes of disagreement."""

from __future__ import annotations

import os
import re
import socket
from types import SimpleNamespace

import pytest

from qemu_sim.clock import RealClock
from qemu_sim.errors import LoadError, MigrationError
from qemu_sim.fds import Fd, TaggedFd
from qemu_sim.hooks import Hooks
from qemu_sim.io.channel import Channel
from qemu_sim.migration import carried
from qemu_sim.migration.dialects.dialect import Dialect
from qemu_sim.migration.stream import Stream
from qemu_sim.migration.vmstate import Sections
from qemu_sim.wire import vmstream

DEVICE = "/machine/peripheral/nic0"
HEADER = 12  # bytes


class Asked(Dialect):
    TYPE = "asked"

    def is_asked_for(self, device, tap):
        return self._machine.asks


class FakeTap:
    TYPE = "tap"
    id = "net0"

    def __init__(self, queues):
        self.queues = queues
        self.header_length = HEADER
        self.is_open = False
        self.fds = []
        self.quiet = []
        self.active = False

    def quiesce(self):
        self.quiet.append(True)

    def unquiesce(self):
        self.quiet.append(False)

    def hand_over(self):
        self.fds = [Fd(os.eventfd(0)) for _ in range(self.queues)]
        tagged = [TaggedFd("queue", index, fd) for index, fd in enumerate(self.fds)]
        return {"vnet-hdr-length": self.header_length, "enabled": 1}, tagged

    def adopt_unchecked(self, queues, *, header_length, enabled):
        assert (header_length, enabled) == (HEADER, 1)
        self.fds = queues

    def activate(self):
        self.active = True

    def disown(self):
        for fd in self.fds:
            fd.close()


class Side:
    def __init__(self, queues, *, asks=True, **dialect):
        self.tap = FakeTap(queues)
        self.asks = asks
        self.netdevs = {"net0": self.tap}
        self.hooks = Hooks(lambda *_: None, RealClock())
        nic = SimpleNamespace(name="nic0", path=DEVICE, properties={"netdev": "net0"})
        self.devices = [nic]
        self.dialect = type("Dialect", (Asked,), dialect)(self)


@pytest.fixture
async def channel():
    """Write what a source has, as a stream ends; returns the Stream to read from."""
    streams, sides = [], []

    async def make(source):
        sides.append(source)
        here, there = socket.socketpair()
        writer, reader = (Stream(Channel(sock), 2.0, lambda *_: None) for sock in (here, there))
        streams.extend((writer, reader))
        sections = Sections(writer)
        with carried.taken_along(source) as taken:
            sections.write_device(DEVICE, {"a": 1}, taken.get(DEVICE))
        sections.close({})
        await writer.flush()
        return reader

    yield make
    for stream in streams:
        stream.close()
    for side in sides:
        side.tap.disown()


async def load(stream, side):
    """Read it as a destination does."""
    arrivals = carried.Arrivals(side, stream)
    try:
        while (kind := await vmstream.read_byte(stream)) == vmstream.FULL:
            section = await vmstream.read_section(stream, kind)
            if arrivals.knows(section):
                await arrivals.read_own(stream, section)
            else:
                assert section.name == DEVICE
                assert await vmstream.read_state(stream) == {"a": 1}
                await arrivals.read_behind(stream, side.devices[0])
            await vmstream.read_footer(stream, section)
        arrivals.complete()
    except BaseException:
        arrivals.give_up()
        raise
    return arrivals


@pytest.mark.parametrize("tunnel", [True, False])
async def test_the_layout_is_upstreams(channel, tunnel):
    source = Side(2, HAS_TUNNEL=tunnel)
    stream = await channel(source)
    assert source.tap.quiet == [True, False]
    await vmstream.read_section(stream, await vmstream.read_byte(stream))
    await vmstream.read_state(stream)
    for enabled in (1, 0):
        fd = await stream.next_fd()
        fd.close()
        flags = bytes([1, 0, 0, *([0] if tunnel else []), enabled])
        assert await stream.read(len(flags) + 4) == flags + HEADER.to_bytes(4, "big")
    assert await stream.read(2) == b"\0\2"
    assert await vmstream.read_byte(stream) == vmstream.FOOTER


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("queues", [1, 3])
async def test_ends_that_agree_lose_nothing(channel, queues, own):
    source, destination = Side(queues, OWN_SECTION=own), Side(queues, OWN_SECTION=own)
    arrivals = await load(await channel(source), destination)
    assert len(destination.tap.fds) == queues
    assert not destination.tap.active
    arrivals.activate()
    assert destination.tap.active
    destination.tap.disown()


async def test_a_description_covers_every_byte(channel):
    import json

    stream = await channel(Side(2))
    head = await stream.read(1 + 4 + 1 + len(DEVICE) + 8)
    assert head[0] == vmstream.FULL
    size = 4 + len(b'{"a":1}') + 2 * (1 + 5 + 4) + 2
    await stream.read(size + 5)
    assert await vmstream.read_byte(stream) == vmstream.EOF
    assert await vmstream.read_byte(stream) == vmstream.VMDESCRIPTION
    text = await stream.read(await vmstream.read_u32(stream))
    fields = json.loads(text)["devices"][0]["fields"]
    assert sum(field["size"] for field in fields) == size


async def test_only_the_source(channel, caplog):
    stream = await channel(Side(1))
    with pytest.raises(LoadError) as caught:
        await load(stream, Side(1, asks=False))
    assert re.match(r"Missing section footer for .*nic0$", caught.value.detail)
    stream.close()
    assert "was never claimed" in caplog.text


async def test_only_the_destination(channel):
    with pytest.raises(LoadError) as caught:
        await load(await channel(Side(1, asks=False)), Side(1))
    assert re.match(r"Missing section footer for .*nic0$", caught.value.detail)


async def test_too_few_queues_are_read_on_and_on(channel, caplog):
    """The words, and the numbers in hexadecimal, are those that upstream's QEMU was seen to say."""
    with pytest.raises(MigrationError) as caught:
        await load(await channel(Side(4)), Side(8))
    text = "Failed to load element of type uint16 equal for max_queue_pairs: -22"
    assert str(caught.value) == text
    assert "8 != " in caplog.text


async def test_too_many_queues(channel):
    with pytest.raises(MigrationError, match="max_queue_pairs"):
        await load(await channel(Side(4)), Side(2))


async def test_more_queues_than_there_are_sections_for(channel):
    arrivals = carried.Arrivals(Side(2, OWN_SECTION=True), await channel(Side(1)))
    section = vmstream.Section(vmstream.FULL, 0, "net0/net-tap", 2, 0)
    assert not arrivals.knows(section)
    assert arrivals.knows(section._replace(instance=1))
    assert not arrivals.knows(section._replace(name="net1/net-tap", instance=0))


async def test_no_header_is_that_long(channel):
    source = Side(1)
    source.tap.header_length = 1 << 31
    with pytest.raises(MigrationError, match="netdev net0: no vnet header has 2147483648 bytes"):
        await load(await channel(source), Side(1))


@pytest.mark.parametrize("own", [False, True])
async def test_an_open_tap_takes_nothing(channel, own):
    destination = Side(1, OWN_SECTION=own)
    destination.tap.is_open = True
    with pytest.raises(MigrationError) as caught:
        await load(await channel(Side(1, OWN_SECTION=own)), destination)
    assert str(caught.value) == "TAP is already initialized and cannot receive incoming fd"


async def test_a_channel_that_carries_none():
    here, there = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    here.close()
    there.close()
    writer, reader = (Stream(Channel(sock), 2.0, lambda *_: None) for sock in (client, server))
    source = Side(1)
    text = "Channel does not support file descriptor passing: Invalid argument"
    with carried.taken_along(source) as taken, pytest.raises(MigrationError, match=text):
        Sections(writer).write_device(DEVICE, {}, taken[DEVICE])
    reader.name = "migration-socket-incoming"
    text = r"^migration-socket-incoming does not support fd passing$"
    with pytest.raises(MigrationError, match=text):
        await reader.next_fd()
    source.tap.disown()
    writer.close()
    reader.close()
