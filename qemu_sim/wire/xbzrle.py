"""XBZRLE: a page as what changed in it since it was last sent.

QEMU: migration/xbzrle.c (xbzrle_decode_buffer); docs/devel/migration/xbzrle.rst

Runs of bytes that stayed, and runs of new bytes, in turn; before each its length as LEB128,
7 bits a byte, low ones first.
"""

from __future__ import annotations

from qemu_sim.errors import WireError

_MORE = 0x80
_BITS = 7
_LENGTH_MAX = 2  # bytes; a page has 4096


def apply(delta: bytes, page: bytes) -> bytes:
    """Return what `delta` makes of `page`. Raises WireError when it does not fit."""
    result = bytearray(page)
    at = place = 0
    while at < len(delta):
        kept, at = _length(delta, at)
        place += kept
        changed, at = _length(delta, at)
        if not changed or at + changed > len(delta) or place + changed > len(page):
            raise WireError("Failed to load XBZRLE page - decode error!")
        result[place : place + changed] = delta[at : at + changed]
        at += changed
        place += changed
    return bytes(result)


def _length(delta: bytes, at: int) -> tuple[int, int]:
    """Return a length and where it ends."""
    value = 0
    for number, byte in enumerate(delta[at : at + _LENGTH_MAX]):
        value |= (byte & ~_MORE) << number * _BITS
        if not byte & _MORE:
            return value, at + number + 1
    raise WireError("Failed to load XBZRLE page - decode error!")
