"""What travels in the channels of multifd: packets of pages of RAM, beside the main stream.

QEMU: migration/multifd.h (MultiFDInit_t, MultiFDPacket_t), migration/multifd-nocomp.c

    hello     magic, version (u32), uuid (16 bytes), number of the channel (u8), 39 bytes of 0
    packet    magic, version, flags, room for pages, normal pages, bytes of payload (u32),
              number of the packet (u64), zero pages (u32), 28 bytes of 0,
              name of the block (256 bytes), offset of each page (128 times u64), payload

All is big-endian. The zero pages come behind the normal ones, which make up the payload. A
packet with the flag SYNC has no pages: behind it the channel waits for the main stream.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from qemu_sim.errors import WireError
from qemu_sim.wire.vmstream import Reader

MAGIC = 0x11223344
PAGE = 4096
PAGES = (512 << 10) // PAGE
"""That fit into a packet."""
SYNC = 1
ZLIB = 1 << 1

_MOST = 2 * PAGES * PAGE  # bytes of payload; what compression makes of pages may be more
_VERSION = 1
_COMPRESSION = 0x1F << 1
_DEVICE_STATE = 32 << 1
_HELLO = struct.Struct(">II16sB39x")
_HEAD = struct.Struct(">III")
_BODY = struct.Struct(">IIIQI28x256s")
_OFFSETS = struct.Struct(f">{PAGES}Q")


class Packet(NamedTuple):
    """All of a packet but its payload, which has `size` bytes. Offsets are in the block."""

    number: int
    flags: int
    block: str = ""
    normal: tuple[int, ...] = ()
    zero: tuple[int, ...] = ()
    size: int = 0

    @property
    def compression(self) -> int:
        """How the payload is compressed: 0 or ZLIB."""
        return self.flags & _COMPRESSION


def hello(uuid: bytes, channel: int) -> bytes:
    """Return the first that a source says on a channel."""
    return _HELLO.pack(MAGIC, _VERSION, uuid, channel)


async def read_hello(reader: Reader) -> tuple[bytes, int]:
    """Read uuid and number of a channel. Raises WireError in QEMU's words."""
    magic, version, uuid, channel = _HELLO.unpack(await reader.read(_HELLO.size))
    if magic != MAGIC:
        raise WireError(f"multifd: received packet magic {magic:x} expected {MAGIC:x}")
    if version != _VERSION:
        raise WireError(f"multifd: received packet version {version} expected {_VERSION}")
    return uuid, channel


def pack(packet: Packet) -> bytes:
    """Return a packet's bytes up to its payload."""
    offsets = [*packet.normal, *packet.zero]
    counts = (PAGES if offsets else 0, len(packet.normal), packet.size)
    return (
        _HEAD.pack(MAGIC, _VERSION, packet.flags)
        + _BODY.pack(*counts, packet.number, len(packet.zero), packet.block.encode())
        + _OFFSETS.pack(*offsets, *[0] * (PAGES - len(offsets)))
    )


async def read_packet(reader: Reader) -> Packet:
    """Read a packet up to its payload. Raises WireError in QEMU's words."""
    magic, version, flags = _HEAD.unpack(await reader.read(_HEAD.size))
    if magic != MAGIC:
        raise WireError(f"multifd: received packet magic {magic:x}, expected {MAGIC:x}")
    if version != _VERSION:
        raise WireError(f"multifd: received packet version {version}, expected {_VERSION}")
    if flags & _DEVICE_STATE:
        raise WireError("device state in multifd channels is not simulated by qemu-sim")
    room, normal, size, number, zero, block = _BODY.unpack(await reader.read(_BODY.size))
    offsets = _OFFSETS.unpack(await reader.read(_OFFSETS.size))
    _check_counts(room, normal, zero)
    if size > _MOST:
        raise WireError(f"multifd: received packet with {size} bytes, expected maximum {_MOST}")
    name = block.partition(b"\0")[0].decode("utf-8", "replace")
    return Packet(number, flags, name, offsets[:normal], offsets[normal : normal + zero], size)


def _check_counts(room: int, normal: int, zero: int) -> None:
    if room > PAGES:
        raise WireError(f"multifd: received packet with {room} pages, expected {PAGES}")
    if normal > room:
        raise WireError(
            f"multifd: received packet with {normal} non-zero pages, "
            f"which exceeds maximum expected pages {room}"
        )
    if zero > room - normal:
        raise WireError(
            f"multifd: received packet with {zero} zero pages, expected maximum {room - normal}"
        )
