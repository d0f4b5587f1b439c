"""What the guest says back: ICMP and ICMPv6 echo replies, UDP datagrams returned.

RFC 792, RFC 4443, RFC 862 (on every port). Each function takes one whole message and
returns the answer, or None when there is nothing to say: another kind of message, cut
short, or a checksum that is wrong.
"""

from __future__ import annotations

import struct

from qemu_sim.wire.checksum import checksum, is_intact, pseudo_header

ICMP = 1
UDP = 17
ICMPV6 = 58

_ICMP_HEADER = 8
_UDP_HEADER = struct.Struct(">HHHH")
_ECHO_REQUEST, _ECHO_REPLY = b"\x08\0", b"\0\0"
_V6_ECHO_REQUEST, _V6_ECHO_REPLY = b"\x80\0", b"\x81\0"
_IPV4_SIZE = 4


def icmp(message: bytes) -> bytes | None:
    """Answer an ICMP echo request (IPv4)."""
    if len(message) < _ICMP_HEADER or message[:2] != _ECHO_REQUEST or not is_intact(message):
        return None
    answer = _ECHO_REPLY + b"\0\0" + message[4:]
    return answer[:2] + checksum(answer).to_bytes(2, "big") + answer[4:]


def icmpv6(message: bytes, source: bytes, destination: bytes) -> bytes | None:
    """Answer an ICMPv6 echo request between two packed addresses."""
    if len(message) < _ICMP_HEADER or message[:2] != _V6_ECHO_REQUEST:
        return None
    pseudo = pseudo_header(source, destination, ICMPV6, len(message))
    if not is_intact(pseudo + message):
        return None
    answer = _V6_ECHO_REPLY + b"\0\0" + message[4:]
    return answer[:2] + checksum(pseudo + answer).to_bytes(2, "big") + answer[4:]


def udp(datagram: bytes, source: bytes, destination: bytes) -> bytes | None:
    """Return a UDP datagram to its sender, whatever the port."""
    if len(datagram) < _UDP_HEADER.size:
        return None
    sender, port, length, sent_checksum = _UDP_HEADER.unpack_from(datagram)
    if not _UDP_HEADER.size <= length <= len(datagram) or sender == 0:
        return None  # port 0 asks for no answer
    datagram = datagram[:length]
    # The pseudo header sums up the same in both directions.
    pseudo = pseudo_header(source, destination, UDP, length)
    unchecked = sent_checksum == 0 and len(source) == _IPV4_SIZE
    if not unchecked and (sent_checksum == 0 or not is_intact(pseudo + datagram)):
        return None
    payload = datagram[_UDP_HEADER.size :]
    header = _UDP_HEADER.pack(port, sender, length, 0)
    value = checksum(pseudo + header + payload) or 0xFFFF  # zero would mean "none"
    return _UDP_HEADER.pack(port, sender, length, value) + payload
