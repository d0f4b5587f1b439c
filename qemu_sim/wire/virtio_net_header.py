"""The virtio-net header that a TAP puts before each frame.

QEMU: include/standard-headers/linux/virtio_net.h

    flags u8 | gso_type u8 | hdr_len u16 | gso_size u16 | csum_start u16 | csum_offset u16
    [num_buffers u16]           12 instead of 10 bytes

The numbers are in the host's byte order, as a TAP has them unless told otherwise.
"""

from __future__ import annotations

import struct

from qemu_sim.wire.checksum import checksum

SHORT = 10
"""Bytes of a header without num_buffers; what a TAP begins with."""
LONG = 12
LENGTHS = (0, SHORT, LONG, 20)
"""Those that there are: none, and the longest has a hash of the frame, too."""

_FIELDS = struct.Struct("=BBHHHH")
_NEEDS_CSUM = 1
_GSO_UDP_L4 = 5
_GSO_ECN = 0x80
_UDP_CHECKSUM_OFFSET = 6


def plain_header(length: int) -> bytes:
    """Return the header of a frame that is complete and not segmented: all zero."""
    return bytes(length)


def complete_frame(packet: bytes, length: int) -> bytes | None:
    """Take the header of `length` bytes off; fill in the checksum it leaves to us.

    A sender may leave the checksum to the receiver (NEEDS_CSUM): the field then holds the
    sum of the pseudo header, and all from csum_start on is to be added. None for what is
    no frame: too short, a checksum outside it, or several UDP datagrams in one (USO, an
    offload that is never switched on here). Other segmentation leaves one big frame.
    """
    if len(packet) < max(length, SHORT):
        return None
    flags, gso_type, _, _, start, offset = _FIELDS.unpack_from(packet)
    frame = packet[length:]
    if gso_type & ~_GSO_ECN == _GSO_UDP_L4:
        return None
    if not flags & _NEEDS_CSUM:
        return frame
    field = start + offset
    if field + 2 > len(frame):
        return None
    value = checksum(frame[start:])
    if value == 0 and offset == _UDP_CHECKSUM_OFFSET:
        value = 0xFFFF  # zero would say that a UDP datagram has no checksum
    return frame[:field] + value.to_bytes(2, "big") + frame[field + 2 :]
