"""Packets of pages, as they lie in the channels of multifd."""

import pytest

from qemu_sim.errors import WireError
from qemu_sim.wire import multifd
from qemu_sim.wire.bytes_reader import BytesReader, run
from qemu_sim.wire.multifd import PAGES, Packet

UUID = bytes(range(16))
PACKET = Packet(7, multifd.ZLIB, "pc.ram", (0, 8192), (4096,), 100)
SIZE = 320 + 8 * PAGES


def read(data):
    return run(multifd.read_packet(BytesReader(data)))


def test_a_packet_is_read_as_it_was_packed():
    data = multifd.pack(PACKET)
    assert len(data) == SIZE
    assert read(data) == PACKET
    assert read(data).compression == multifd.ZLIB


def test_one_without_pages():
    packet = Packet(1, multifd.SYNC)
    assert read(multifd.pack(packet)) == packet


def test_a_channel_introduces_itself():
    data = multifd.hello(UUID, 3)
    assert len(data) == 64
    assert run(multifd.read_hello(BytesReader(data))) == (UUID, 3)


@pytest.mark.parametrize(
    ("at", "value", "text"),
    [
        (0, 1, "received packet magic 1, expected 11223344"),
        (4, 2, "received packet version 2, expected 1"),
        (8, 64, "device state in multifd channels is not simulated"),
        (12, PAGES + 1, f"received packet with {PAGES + 1} pages, expected {PAGES}"),
        (
            16,
            PAGES + 1,
            f"{PAGES + 1} non-zero pages, which exceeds maximum expected pages {PAGES}",
        ),
        (20, 1 << 30, "expected maximum 1048576"),
        (32, PAGES, f"received packet with {PAGES} zero pages, expected maximum {PAGES - 2}"),
    ],
)
def test_what_no_packet_has(at, value, text):
    data = bytearray(multifd.pack(PACKET))
    data[at : at + 4] = value.to_bytes(4, "big")
    with pytest.raises(WireError, match=text):
        read(bytes(data))


@pytest.mark.parametrize(
    ("at", "value", "text"), [(0, 1, "magic 1 expected 11223344"), (4, 2, "version 2 expected 1")]
)
def test_what_no_channel_says(at, value, text):
    data = bytearray(multifd.hello(UUID, 3))
    data[at : at + 4] = value.to_bytes(4, "big")
    with pytest.raises(WireError, match=f"multifd: received packet {text}"):
        run(multifd.read_hello(BytesReader(bytes(data))))
