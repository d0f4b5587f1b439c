"""The simulated guest's network: Ethernet frames in, the frames that answer them out.

It answers ARP, neighbour discovery, ping (IPv4, IPv6) and UDP echo, for the addresses it
was given or for any. It never speaks first. No input makes it raise: what is malformed or
not for us gets no answer. Pure: no I/O, no clock; of `socket` only an address parser, which
is loaded anyway.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from qemu_sim.guest.addresses import Addresses
from qemu_sim.guest.arp import answer_arp
from qemu_sim.guest.ipv4 import IPv4
from qemu_sim.guest.ipv6 import IPv6

_ETHERNET_HEADER = 14
_MULTICAST = 1  # lowest bit of a MAC's first byte
_IPV4 = b"\x08\x00"
_ARP = b"\x08\x06"
_IPV6 = b"\x86\xdd"


class Network:
    """The network stack behind one NIC."""

    def __init__(
        self, mac: bytes, ipv4: frozenset[str] = frozenset(), ipv6: frozenset[str] = frozenset()
    ) -> None:
        """Answer at `mac` (6 bytes) for the given addresses; an empty set means any."""
        self.mac = mac
        self._addresses4 = _packed(AF_INET, ipv4)
        self._addresses6 = _packed(AF_INET6, ipv6)
        self._ipv4 = IPv4(self._addresses4)
        self._ipv6 = IPv6(self._addresses6)

    def receive(self, frame: bytes) -> list[bytes]:
        """Return the frames that answer `frame`, in the order to send them."""
        target, sender, kind = frame[:6], frame[6:12], frame[12:14]
        if len(frame) < _ETHERNET_HEADER or sender[0] & _MULTICAST or sender == self.mac:
            return []
        to_us = target == self.mac
        if not to_us and not target[0] & _MULTICAST:
            return []
        packets = self._answers(kind, frame[_ETHERNET_HEADER:], sender, to_us)
        header = sender + self.mac + kind
        return [header + packet for packet in packets]

    def save(self) -> dict[str, Any]:
        """Return what the next answers depend on, as JSON: half a datagram, who has what."""
        return {
            "ipv4": self._ipv4.save(),
            "ipv6": self._ipv6.save(),
            "claims4": self._addresses4.save(),
            "claims6": self._addresses6.save(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `save` returned in another process."""
        self._ipv4.load(state["ipv4"])
        self._ipv6.load(state["ipv6"])
        self._addresses4.load(state["claims4"])
        self._addresses6.load(state["claims6"])

    def _answers(self, kind: bytes, packet: bytes, sender: bytes, to_us: bool) -> list[bytes]:
        if kind == _ARP:
            reply = answer_arp(packet, self.mac, self._addresses4)
            return [] if reply is None else [reply]
        if kind == _IPV4 and to_us:
            return self._ipv4.receive(packet)
        if kind == _IPV6:
            return self._ipv6.receive(packet, self.mac, sender, to_us)
        return []


def _packed(family: int, addresses: frozenset[str]) -> Addresses:
    return Addresses(frozenset(inet_pton(family, address) for address in addresses))
