"""The guest's IPv6: neighbour discovery, reassembly, and what echo.py answers.

RFC 8200, RFC 4861. Of the extension headers only the fragment header is known; a packet
with another one gets no answer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from qemu_sim.guest import echo
from qemu_sim.guest.internet import Internet
from qemu_sim.guest.neighbours import answer_neighbour
from qemu_sim.wire.checksum import is_intact, pseudo_header

if TYPE_CHECKING:
    from qemu_sim.guest.addresses import Addresses

_HEADER = struct.Struct(">IHBB16s16s")
_FRAGMENT_HEADER = struct.Struct(">BBHI")
_VERSION = 6
_FRAGMENT = 44
_MAX_HOPS = 255
_MORE = 1
_OFFSET_MASK = 0xFFF8
_MAX_FRAGMENT = 1448  # an MTU of 1500 less both headers; a multiple of 8
_MAX_PAYLOAD = 1460
_UNSPECIFIED = bytes(16)
_LOOPBACK = bytes(15) + b"\x01"
_ALL_NODES = bytes.fromhex("ff02" + "00" * 13 + "01")


def is_unicast(address: bytes) -> bool:
    """Whether one machine on a network may have this packed address."""
    return address[0] != 0xFF and address not in (_UNSPECIFIED, _LOOPBACK)  # noqa: PLR2004 - ff00::/8


class IPv6(Internet):
    """One guest's IPv6."""

    def __init__(self, addresses: Addresses) -> None:
        """Answer for `addresses`."""
        super().__init__(addresses, is_unicast)

    def receive(self, packet: bytes, mac: bytes, sender: bytes, to_us: bool) -> list[bytes]:
        """Return the packets that answer `packet`, sent by the MAC `sender`; `mac` is ours.

        `to_us`: it came to our own MAC. A multicast frame is of interest only for
        neighbour discovery.
        """
        if len(packet) < _HEADER.size:
            return []
        first, size, protocol, hops, source, target = _HEADER.unpack_from(packet)
        payload = packet[_HEADER.size : _HEADER.size + size]
        if first >> 28 != _VERSION or len(payload) < size:
            return []
        if protocol == echo.ICMPV6 and hops == _MAX_HOPS and payload[:1] in (b"\x87", b"\x88"):
            return self._discover(payload, mac, sender, source, target)
        if not to_us or not self._ours(source, target):
            return []
        if protocol == _FRAGMENT:
            return self._fragment(payload, source, target)
        return self._answer(protocol, payload, source, target)

    def _discover(
        self, message: bytes, mac: bytes, sender: bytes, source: bytes, target: bytes
    ) -> list[bytes]:
        if not is_intact(pseudo_header(source, target, echo.ICMPV6, len(message)) + message):
            return []
        advert = answer_neighbour(message, sender, source, mac, self._addresses)
        if advert is None:
            return []
        address, advertisement = advert
        asker = source if source != _UNSPECIFIED else _ALL_NODES
        return [_packet(echo.ICMPV6, _MAX_HOPS, advertisement, address, asker)]

    def _fragment(self, payload: bytes, source: bytes, target: bytes) -> list[bytes]:
        if len(payload) < _FRAGMENT_HEADER.size:
            return []
        protocol, _, place, ident = _FRAGMENT_HEADER.unpack_from(payload)
        key = source + target + struct.pack(">BI", protocol, ident)
        data = payload[_FRAGMENT_HEADER.size :]
        whole = self._fragments.add(key, place & _OFFSET_MASK, bool(place & _MORE), data)
        return [] if whole is None else self._answer(protocol, whole, source, target)

    def _answer(self, protocol: int, payload: bytes, source: bytes, target: bytes) -> list[bytes]:
        answer = None
        if protocol == echo.ICMPV6:
            answer = echo.icmpv6(payload, source, target)
        elif protocol == echo.UDP:
            answer = echo.udp(payload, source, target)
        if answer is None:
            return []
        if len(answer) <= _MAX_PAYLOAD:
            return [_packet(protocol, 64, answer, target, source)]
        return self._fragments_of(protocol, answer, target, source)

    def _fragments_of(
        self, protocol: int, payload: bytes, source: bytes, target: bytes
    ) -> list[bytes]:
        self._next_id = (self._next_id + 1) % 0x1_0000_0000
        packets = []
        for start in range(0, len(payload), _MAX_FRAGMENT):
            chunk = payload[start : start + _MAX_FRAGMENT]
            place = start | (_MORE if start + len(chunk) < len(payload) else 0)
            header = _FRAGMENT_HEADER.pack(protocol, 0, place, self._next_id)
            packets.append(_packet(_FRAGMENT, 64, header + chunk, source, target))
        return packets


def _packet(protocol: int, hops: int, payload: bytes, source: bytes, target: bytes) -> bytes:
    first = _VERSION << 28
    return _HEADER.pack(first, len(payload), protocol, hops, source, target) + payload
