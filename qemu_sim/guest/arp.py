"""The guest's answers to ARP requests.  RFC 826, RFC 5227.

In "any" mode a probe (sender 0.0.0.0) gets no answer: the host asks whether an address is
free that it is about to use. A guest with addresses of its own defends them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from qemu_sim.guest.ipv4 import is_unicast

if TYPE_CHECKING:
    from qemu_sim.guest.addresses import Addresses

_PACKET = struct.Struct(">8s6s4s6s4s")
_REQUEST = bytes.fromhex("0001080006040001")  # Ethernet, IPv4, 6 and 4 bytes, request
_REPLY = bytes.fromhex("0001080006040002")
_NOBODY = bytes(4)
_REVERSE_REQUEST = bytes.fromhex("0001080006040003")  # RFC 903
_EVERYBODY = b"\xff" * 6
_REVERSE_ARP = b"\x80\x35"
_SHORTEST_FRAME = 60


def answer_arp(packet: bytes, mac: bytes, addresses: Addresses) -> bytes | None:
    """Return the reply to one ARP packet, None when there is none to give."""
    if len(packet) < _PACKET.size:
        return None
    kind, sender_mac, sender, _, target = _PACKET.unpack_from(packet)
    if kind not in (_REQUEST, _REPLY):
        return None
    claimed = target if sender == _NOBODY else sender
    if is_unicast(claimed):
        addresses.claim(claimed, sender_mac)
    if kind == _REPLY or sender == target or not is_unicast(target):
        return None  # an answer, an announcement, or nobody's address
    if sender == _NOBODY and addresses.any:
        return None
    if not addresses.resolve(target, sender_mac):
        return None
    return _PACKET.pack(_REPLY, mac, target, sender_mac, sender)


def self_announcement(mac: bytes) -> bytes:
    """Return the frame from which switches learn where `mac` is; nobody has to answer it."""
    packet = _PACKET.pack(_REVERSE_REQUEST, mac, _NOBODY, mac, _NOBODY)
    return (_EVERYBODY + mac + _REVERSE_ARP + packet).ljust(_SHORTEST_FRAME, b"\0")
