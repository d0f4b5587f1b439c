"""The Internet checksum, against the loop of RFC 1071."""

from hypothesis import given
from hypothesis import strategies as st

from qemu_sim.wire.checksum import checksum, is_intact, pseudo_header


def by_the_book(data):
    total = sum(data[0::2]) * 256 + sum(data[1::2])
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


@given(st.binary(max_size=70))
def test_it_is_the_sum_of_rfc_1071(data):
    assert checksum(data) == by_the_book(data)


@given(st.binary(min_size=2, max_size=70).filter(lambda data: len(data) % 2 == 0))
def test_data_with_its_checksum_is_intact(data):
    assert is_intact(data + checksum(data).to_bytes(2, "big"))


def test_both_forms_of_zero():
    assert checksum(bytes(4)) == 0xFFFF
    assert checksum(b"\xff\xff") == 0
    assert not is_intact(bytes(4))
    assert is_intact(b"\xff\xff")


def test_a_flipped_bit_shows():
    data = bytearray(b"some data!" + checksum(b"some data!").to_bytes(2, "big"))
    data[3] ^= 4
    assert not is_intact(bytes(data))


def test_pseudo_headers_are_as_the_rfcs_draw_them():
    four = pseudo_header(b"\x0a\0\0\1", b"\x0a\0\0\2", 17, 0x0102)
    assert four == bytes.fromhex("0a000001 0a000002 00 11 0102")
    six = pseudo_header(bytes(15) + b"\1", bytes(15) + b"\2", 58, 0x010203)
    assert six == bytes(15) + b"\1" + bytes(15) + b"\2" + bytes.fromhex("00010203 000000 3a")
