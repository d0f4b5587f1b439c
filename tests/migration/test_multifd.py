"""Both ends of multifd on one event loop: what arrives, and what breaks it."""

from __future__ import annotations

import os
import socket

import pytest

from qemu_sim.wire import multifd, vmstream
from qemu_sim.wire.multifd import PAGE, Packet

UUID = "01234567-89ab-cdef-0123-456789abcdef"
CHANNELS = 3


@pytest.fixture
async def pair(make_pair):
    made = await make_pair({}, shared=False, size=3 << 20)
    for side in (made.source, made.destination):
        side.capabilities.names |= {"multifd", "return-path"}
        side.parameters.set({"multifd-channels": CHANNELS})
        side.uuid = UUID
    made.access = made.access._replace(channels=1 + CHANNELS)
    return made


def fill(memory):
    """Write to some pages, and leave holes, and pages of zeroes that are there."""
    for number in (0, 1, 2, 5, *range(100, 600, 3)):
        memory.write(number * PAGE + 17, b"page %d" % number)
    memory.write(3 * PAGE, bytes(PAGE))


def contents(memory):
    return os.pread(memory.fd.fileno(), memory.size, 0)


async def migrate(pair):
    pair.listen(exit_on_error=False)
    pair.migrate(hand_over=False)
    return await pair.ended()


@pytest.mark.parametrize("machine_type", ["pc-q35-11.1", "pc-q35-8.0"])
@pytest.mark.parametrize("compression", ["none", "zlib"])
@pytest.mark.parametrize("zeroes", ["none", "legacy", "multifd"])
async def test_all_pages_arrive(pair, machine_type, compression, zeroes):
    settings = {"zero-page-detection": zeroes, "multifd-compression": compression}
    for side in (pair.source, pair.destination):
        side.machine_type = machine_type
        side.parameters.set(settings)
    fill(pair.source.memory)
    pair.destination.memory.write(3 * PAGE, b"to be zero")
    assert await migrate(pair) == ("completed", "completed")
    assert contents(pair.destination.memory) == contents(pair.source.memory)


async def test_pages_leave_the_main_channel(pair):
    seen = []

    def trace(direction, what, fds):
        seen.append(pair.source.migration._last._outgoing.stream.sent_bytes)

    pair.source.trace_migration = trace
    fill(pair.source.memory)
    assert await migrate(pair) == ("completed", "completed")
    assert max(seen) < 10 * PAGE


async def test_beside_a_hand_over(make_pair):
    pair = await make_pair()
    for side in (pair.source, pair.destination):
        side.capabilities.names |= {"multifd"}
    pair.access = pair.access._replace(channels=3)
    pair.listen()
    pair.migrate()
    assert await pair.ended() == ("completed", "completed")
    assert pair.destination.serving == ["nic0", "nic1"]


async def test_in_postcopy(pair):
    for side in (pair.source, pair.destination):
        side.capabilities.names.add("postcopy-ram")
    fill(pair.source.memory)
    pair.source.hooks.hold("active")
    pair.listen()
    pair.migrate(hand_over=False)
    await pair.source.held.get()
    pair.source.migration.start_postcopy()
    pair.source.hooks.release()
    assert await pair.ended() == ("completed", "completed")
    assert contents(pair.destination.memory) == contents(pair.source.memory)


async def test_a_destination_that_waits_for_more_is_left(pair):
    pair.source.parameters.set({"multifd-channels": 1})
    pair.listen(exit_on_error=False)
    pair.migrate(hand_over=False)
    await pair.source.until("active", "failed", "setup")
    pair.source.migration.cancel()
    assert await pair.source.until("cancelled") == "cancelled"
    assert pair.destination.migration.status.value == "setup"


async def test_a_destination_that_waits_for_fewer_hangs_up(pair):
    pair.destination.parameters.set({"multifd-channels": 1})
    pair.access = pair.access._replace(channels=2)
    pair.listen(exit_on_error=False)
    pair.migrate(hand_over=False)
    assert await pair.source.until("failed") == "failed"
    assert pair.source.state_name == "running"


async def test_another_machines_channels(pair):
    pair.source.uuid = None
    assert await migrate(pair) == ("failed", "failed")
    assert pair.destination.migration.query()["error-desc"].endswith(
        "multifd: received uuid '00000000-0000-0000-0000-000000000000' and expected uuid "
        f"'{UUID}' for channel 0"
    )
    assert pair.source.state_name == "running"


class Peer:
    """A source that says what it is told to."""

    def __init__(self, path, channels):
        self._sockets = [socket.socket(socket.AF_UNIX) for _ in range(1 + channels)]
        for each in self._sockets:
            each.connect(path)
        self.main, *self.channels = self._sockets

    def close(self):
        for each in self._sockets:
            each.close()


@pytest.fixture
async def peer(pair):
    pair.listen(exit_on_error=False)
    made = Peer(pair.path, CHANNELS)
    yield made
    made.close()


def say(peer, *more):
    """Introduce all channels; then each has one thing more to say."""
    peer.main.send(vmstream.HEADER)
    uuid = bytes.fromhex(UUID.replace("-", ""))
    for number, (channel, data) in enumerate(zip(peer.channels, more, strict=True)):
        channel.send(multifd.hello(uuid, number) + data)


def page(**changes):
    return multifd.pack(Packet(0, 0, "elsewhere", (0,), (), PAGE)._replace(**changes))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (page(), "multifd: unknown ram block elsewhere"),
        (page(block="x" * 255), "multifd: unknown ram block x+"),
        (b"\0" * 2000, "multifd: received packet magic 0, expected 11223344"),
    ],
)
async def test_a_channel_that_says_nonsense_fails_it_all(pair, peer, data, text):
    say(peer, b"", data, b"")
    assert await pair.destination.until("failed") == "failed"
    assert text.rstrip("+") in pair.destination.migration.query()["error-desc"]


async def test_channels_that_are_none(pair, peer):
    peer.main.send(vmstream.HEADER)
    for channel in peer.channels:
        channel.send(b"what?")
    assert await pair.destination.until("failed") == "failed"
    magic = int.from_bytes(b"what", "big")
    assert f"unknown channel magic: {magic}" in pair.destination.migration.query()["error-desc"]


async def test_two_main_channels(pair, peer):
    for channel in (peer.main, *peer.channels):
        channel.send(vmstream.HEADER)
    assert await pair.destination.until("failed") == "failed"
    assert "4 of 4 channels are main ones" in pair.destination.migration.query()["error-desc"]
