"""The guest's IPv4: takes packets, reassembles, and sends back what echo.py answers.

RFC 791. Header options are skipped. Answers longer than an Ethernet frame go out in
fragments.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from qemu_sim.guest import echo
from qemu_sim.guest.internet import Internet
from qemu_sim.wire.checksum import checksum, is_intact

if TYPE_CHECKING:
    from qemu_sim.guest.addresses import Addresses

_HEADER = struct.Struct(">BBHHHBBH4s4s")
_PLAIN = 0x45  # version 4, header of five 32-bit words
_MORE = 0x2000
_OFFSET_MASK = 0x1FFF
_TTL = 64  # RFC 1700's default
_MAX_PAYLOAD = 1480  # an MTU of 1500 less the header; a multiple of 8


def is_unicast(address: bytes) -> bool:
    """Whether one machine on a network may have this packed address."""
    return 0 < address[0] < 224 and address[0] != 127  # noqa: PLR2004 - RFC 6890


class IPv4(Internet):
    """One guest's IPv4."""

    def __init__(self, addresses: Addresses) -> None:
        """Answer for `addresses`."""
        super().__init__(addresses, is_unicast)

    def receive(self, packet: bytes) -> list[bytes]:
        """Return the packets that answer `packet`, which came to our own MAC."""
        if len(packet) < _HEADER.size:
            return []
        first, _, size, ident, flags, _, protocol, _, source, target = _HEADER.unpack_from(packet)
        header = first % 16 * 4
        if first >> 4 != 4 or not _HEADER.size <= header <= size <= len(packet):  # noqa: PLR2004 - version
            return []
        if not is_intact(packet[:header]) or not self._ours(source, target):
            return []
        payload: bytes | None = packet[header:size]
        if flags & (_MORE | _OFFSET_MASK):
            key = source + target + struct.pack(">BH", protocol, ident)
            offset = (flags & _OFFSET_MASK) * 8
            payload = self._fragments.add(key, offset, bool(flags & _MORE), packet[header:size])
        answer = None if payload is None else _answer(protocol, payload, source, target)
        return [] if answer is None else self._packets(protocol, answer, target, source)

    def _packets(self, protocol: int, payload: bytes, source: bytes, target: bytes) -> list[bytes]:
        self._next_id = (self._next_id + 1) % 0x10000
        packets = []
        for start in range(0, len(payload), _MAX_PAYLOAD):
            chunk = payload[start : start + _MAX_PAYLOAD]
            more = _MORE if start + len(chunk) < len(payload) else 0
            header = _HEADER.pack(
                _PLAIN, 0, _HEADER.size + len(chunk), self._next_id, more | start // 8,
                _TTL, protocol, 0, source, target,
            )  # fmt: skip
            packets.append(header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + chunk)
        return packets


def _answer(protocol: int, payload: bytes, source: bytes, target: bytes) -> bytes | None:
    if protocol == echo.ICMP:
        return echo.icmp(payload)
    if protocol == echo.UDP:
        return echo.udp(payload, source, target)
    return None
