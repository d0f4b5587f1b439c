"""The header a TAP puts before each frame, and the checksum it may leave to us."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qemu_sim.wire.checksum import checksum, is_intact, pseudo_header
from qemu_sim.wire.virtio_net_header import LONG, SHORT, complete_frame, plain_header


def header(length=SHORT, flags=0, gso=0, start=0, offset=0):
    return struct.pack("=BBHHHH", flags, gso, 0, 0, start, offset).ljust(length, b"\0")


@pytest.mark.parametrize("length", [SHORT, LONG])
def test_a_complete_frame_only_loses_its_header(length):
    assert complete_frame(header(length) + b"frame", length) == b"frame"
    assert complete_frame(plain_header(length) + b"frame", length) == b"frame"


def test_a_checksum_left_to_us_is_filled_in():
    """As Linux leaves it: the field holds the sum of the pseudo header."""
    pseudo = pseudo_header(b"\x0a\0\0\1", b"\x0a\0\0\2", 17, 12)
    partial = (0xFFFF - checksum(pseudo)).to_bytes(2, "big")
    ports, rest = b"\0\1\0\2\0\x0c", b"data"
    frame = complete_frame(
        header(flags=1, start=34, offset=6) + bytes(34) + ports + partial + rest, SHORT
    )
    assert frame[:34] == bytes(34)
    assert is_intact(pseudo + frame[34:])
    assert frame[42:] == rest


def test_a_udp_checksum_is_never_zero():
    frame = complete_frame(header(flags=1, start=0, offset=6) + b"\xff\xff" + bytes(6), SHORT)
    assert frame == b"\xff\xff" + bytes(4) + b"\xff\xff"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(SHORT - 1),
        header(flags=1, start=4, offset=0) + b"frame",
        header(flags=1, start=0xFFFF, offset=0xFFFF) + b"frame",
        header(gso=5) + b"several datagrams",
    ],
)
def test_what_is_no_frame(packet):
    assert complete_frame(packet, SHORT) is None


def test_other_segmentation_leaves_one_big_frame():
    assert complete_frame(header(gso=3) + bytes(30000), SHORT) == bytes(30000)
    assert complete_frame(header(gso=0x81) + bytes(30000), SHORT) == bytes(30000)


@given(st.binary(max_size=64), st.sampled_from([SHORT, LONG]))
def test_no_bytes_make_it_raise(packet, length):
    complete_frame(packet, length)
