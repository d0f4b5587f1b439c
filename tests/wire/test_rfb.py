"""The server's side of RFB. What it says is what QEMU 7.2 and 11.1 said."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qemu_sim.errors import WireError
from qemu_sim.wire.rfb import CHALLENGE_SIZE, HEIGHT, VERSION, WIDTH, Rfb

CHALLENGE = bytes(range(CHALLENGE_SIZE))
INIT = bytes.fromhex("0280 01e0 20180001 00ff 00ff 00ff 100800 000000 00000004") + b"QEMU"
FAILED = b"\0\0\0\1\0\0\0\x16Authentication failed\0"
ASK = struct.Struct(">BBHHHH")
WHOLE = ASK.pack(3, 0, 0, 0, WIDTH, HEIGHT)


def rfb(**options):
    return Rfb("QEMU", **{"admit": lambda _: True, **options})


def said(rfb, data):
    rfb.receive(data)
    return rfb.take_output()


def entered():
    client = rfb()
    said(client, b"RFB 003.008\n\1\1")
    return client


@pytest.mark.parametrize(
    ("minor", "before", "choice", "after"),
    [
        ("003", b"\0\0\0\1", b"", b""),
        ("005", b"\0\0\0\1", b"", b""),
        ("007", b"\1\1", b"\1", b""),
        ("008", b"\1\1", b"\1", b"\0\0\0\0"),
    ],
)
def test_the_way_in_without_a_password(minor, before, choice, after):
    client = rfb()
    assert client.take_output() == VERSION
    assert said(client, f"RFB 003.{minor}\n".encode()) == before
    assert said(client, choice) == after
    assert said(client, b"\1") == INIT


@pytest.mark.parametrize(
    ("minor", "choice", "words"),
    [("003", b"", b"\0\0\0\1"), ("007", b"\2", b"\0\0\0\1"), ("008", b"\2", FAILED)],
)
def test_a_password_that_is_wrong(minor, choice, words):
    client = rfb(challenge=CHALLENGE, check=lambda _: False)
    client.receive(f"RFB 003.{minor}\n".encode() + choice)
    assert client.take_output().endswith(CHALLENGE)
    with pytest.raises(WireError):
        client.receive(bytes(CHALLENGE_SIZE))
    assert client.take_output() == words


def test_a_password_that_is_right():
    client = rfb(challenge=CHALLENGE, check=lambda response: response == CHALLENGE)
    said(client, b"RFB 003.008\n\2")
    assert said(client, CHALLENGE) == b"\0\0\0\0"
    assert said(client, b"\1") == INIT


def test_a_kind_of_authentication_that_was_not_offered():
    client = rfb()
    said(client, b"RFB 003.008\n")
    with pytest.raises(WireError):
        client.receive(b"\x09")
    assert client.take_output() == FAILED


def test_who_is_not_admitted_gets_no_display():
    wishes = []
    client = rfb(admit=wishes.append)
    said(client, b"RFB 003.008\n\1")
    with pytest.raises(WireError):
        client.receive(b"\0")
    assert wishes == [False]
    assert client.take_output() == b""


@pytest.mark.parametrize(("bits", "size"), [(8, 1), (16, 2), (32, 4)])
def test_the_picture_is_black_in_each_depth(bits, size):
    client = entered()
    pixels = struct.pack(">BBBBHHHBBB3x", bits, bits, 0, 1, 7, 7, 3, 0, 3, 6)
    picture = said(client, b"\0\0\0\0" + pixels + WHOLE)
    header = struct.pack(">BxHHHHHi", 0, 1, 0, 0, WIDTH, HEIGHT, 0)
    assert picture == header + bytes(WIDTH * HEIGHT * size)


def test_only_the_part_that_exists_is_sent():
    picture = said(entered(), ASK.pack(3, 0, WIDTH - 2, HEIGHT - 1, 9, 9))
    assert picture == struct.pack(">BxHHHHHi", 0, 1, WIDTH - 2, HEIGHT - 1, 2, 1, 0) + bytes(8)


def test_nothing_changes_and_nobody_gets_more_than_can_be_read():
    client = entered()
    assert said(client, ASK.pack(3, 1, 0, 0, WIDTH, HEIGHT)) == b""
    client.receive(WHOLE, draws=False)
    assert client.take_output() == b""


def test_input_is_taken_in_pieces_and_left_alone():
    encodings = b"\2\0\0\2" + bytes(8)
    keys = b"\4" + bytes(7) + b"\xff\0" + bytes(10)
    pointer, clipboard = b"\5" + bytes(5), b"\6\0\0\0\0\0\0\3abc"
    client = entered()
    for byte in encodings + keys + pointer + clipboard:
        assert said(client, bytes([byte])) == b""
    assert said(client, WHOLE)


@pytest.mark.parametrize(
    "data", [b"\x63", b"\6\0\0\0\x7f\xff\xff\xff", b"\xff\1", b"\0\0\0\0" + b"\x18" * 16]
)
def test_what_ends_the_connection(data):
    with pytest.raises(WireError):
        entered().receive(data)


def test_a_version_that_is_none():
    with pytest.raises(WireError):
        rfb().receive(b"HELLO 12345\n")


@given(st.lists(st.binary(max_size=40)))
def test_whatever_comes_there_is_no_other_error(chunks):
    client = entered()
    with contextlib.suppress(WireError):
        for chunk in chunks:
            client.receive(chunk)
