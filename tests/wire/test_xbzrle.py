"""What changed in a page, as QEMU encodes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qemu_sim.errors import WireError
from qemu_sim.wire import xbzrle

PAGE = bytes(range(256)) * 16


def leb128(value):
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80, value >> 7])


def encode(old, new):
    """The format's other direction, for the tests."""
    delta, at = b"", 0
    while old[at:] != new[at:]:
        first = next(place for place in range(at, len(old)) if old[place] != new[place])
        end = first
        while end < len(old) and old[end] != new[end]:
            end += 1
        delta += leb128(first - at) + leb128(end - first) + new[first:end]
        at = end
    return delta


@given(st.lists(st.tuples(st.integers(0, 4095), st.binary(min_size=1, max_size=300)), max_size=8))
def test_what_changed_is_applied(changes):
    new = bytearray(PAGE)
    for at, data in changes:
        fits = data[: len(PAGE) - at]
        new[at : at + len(fits)] = fits
    assert xbzrle.apply(encode(PAGE, bytes(new)), PAGE) == new


def test_a_length_of_two_bytes():
    delta = bytes([0x80 | 0x2C, 0x02, 3]) + b"abc"  # 300 bytes stay
    assert xbzrle.apply(delta, PAGE) == PAGE[:300] + b"abc" + PAGE[303:]


@pytest.mark.parametrize(
    "delta",
    [
        b"\x01",  # nothing after what stays
        b"\x00\x00",  # nothing changes
        b"\x00\x05ab",  # fewer bytes than said
        b"\xff\x1f\x02ab",  # past the end of the page
        b"\x80\x80\x01",  # a length of three bytes
    ],
)
def test_what_does_not_fit_is_refused(delta):
    with pytest.raises(WireError, match="Failed to load XBZRLE page"):
        xbzrle.apply(delta, PAGE)


@given(st.binary(max_size=64))
def test_any_bytes_are_applied_or_refused(delta):
    try:
        page = xbzrle.apply(delta, PAGE)
    except WireError:
        return
    assert len(page) == len(PAGE)
