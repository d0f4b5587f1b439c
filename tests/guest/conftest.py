"""Frames built by hand, independent of the code under test."""

import ipaddress
import struct

import pytest


def _sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def _patched(data, at, pseudo=b""):
    return data[:at] + _sum(pseudo + data).to_bytes(2, "big") + data[at + 2 :]


class Frames:
    """A host on the wire: builds its frames, takes the guest's apart."""

    GUEST = bytes.fromhex("525400123456")
    HOST = bytes.fromhex("020000000001")
    OTHER = bytes.fromhex("020000000002")
    EVERYBODY = b"\xff" * 6
    HERE4, HERE6 = "10.0.0.1", "fd00::1"

    @staticmethod
    def packed(address):
        return ipaddress.ip_address(address).packed

    def ethernet(self, kind, payload, to=GUEST, sender=HOST):
        return to + sender + kind.to_bytes(2, "big") + payload

    def arp(self, target, sender="10.0.0.1", operation=1, mac=HOST):
        fixed = struct.pack(">HHBBH", 1, 0x800, 6, 4, operation)
        packet = fixed + mac + self.packed(sender) + bytes(6) + self.packed(target)
        return self.ethernet(0x806, packet, to=self.EVERYBODY, sender=mac)

    def ipv4(self, protocol, payload, target="10.0.0.2", source=HERE4, *, flags=0, options=b""):
        words = 5 + len(options) // 4
        size = words * 4 + len(payload)
        header = struct.pack(">BBHHHBBH", 0x40 | words, 0, size, 7, flags, 9, protocol, 0)
        header += self.packed(source) + self.packed(target) + options
        return _patched(header, 10) + payload

    def ipv6(self, protocol, payload, target="fd00::2", source=HERE6, hops=64):
        header = struct.pack(">IHBB", 6 << 28, len(payload), protocol, hops)
        return header + self.packed(source) + self.packed(target) + payload

    def pseudo(self, protocol, length, target, source):
        ends = self.packed(source) + self.packed(target)
        if ":" in target:
            return ends + struct.pack(">II", length, protocol)
        return ends + struct.pack(">HH", protocol, length)

    def icmp(self, payload=b"payload", kind=8):
        return _patched(struct.pack(">BBHHH", kind, 0, 0, 1, 2) + payload, 2)

    def icmpv6(self, payload=b"payload", target="fd00::2", source=HERE6, kind=128):
        message = struct.pack(">BBHHH", kind, 0, 0, 1, 2) + payload
        return _patched(message, 2, self.pseudo(58, len(message), target, source))

    def udp(self, payload, target, source, ports=(5000, 7)):
        datagram = struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload
        return _patched(datagram, 6, self.pseudo(17, len(datagram), target, source))

    def solicitation(self, target, source=HERE6, hops=255, sender=HOST):
        group = "ff02::1:ff" + ipaddress.ip_address(target).exploded[-7:]
        message = struct.pack(">BBHI", 135, 0, 0, 0) + self.packed(target)
        if source != "::":
            message += b"\x01\x01" + sender
        message = _patched(message, 2, self.pseudo(58, len(message), group, source))
        packet = self.ipv6(58, message, target=group, source=source, hops=hops)
        return self.ethernet(
            0x86DD, packet, to=b"\x33\x33" + self.packed(group)[-4:], sender=sender
        )

    def good(self):
        """One frame of each kind that the guest answers."""
        message = self.icmpv6(bytes(16))
        fragment = b"\x3a\0\0\0" + bytes(4) + message
        return [
            self.arp("10.0.0.2"),
            self.solicitation("fd00::2"),
            self.ethernet(0x800, self.ipv4(1, self.icmp())),
            self.ethernet(0x800, self.ipv4(17, self.udp(b"A", "10.0.0.2", "10.0.0.1"))),
            self.ethernet(0x86DD, self.ipv6(58, message)),
            self.ethernet(0x86DD, self.ipv6(44, fragment)),
        ]

    def intact(self, packet):
        """Whether every checksum of an unfragmented IP packet is right."""
        if packet[0] >> 4 == 4:
            source, target, payload = packet[12:16], packet[16:20], packet[20:]
            protocol, intact = packet[9], _sum(packet[:20]) == 0
        else:
            source, target, payload = packet[8:24], packet[24:40], packet[40:]
            protocol, intact = packet[6], True
        ends = [str(ipaddress.ip_address(end)) for end in (target, source)]
        pseudo = b"" if protocol == 1 else self.pseudo(protocol, len(payload), *ends)
        return intact and _sum(pseudo + payload) == 0


@pytest.fixture(scope="session")
def frames():
    return Frames()
