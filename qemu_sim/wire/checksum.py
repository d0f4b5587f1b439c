"""The checksum of IP, ICMP, UDP and TCP: a ones' complement sum of 16-bit words.

RFC 1071. Ones' complement addition is arithmetic modulo 0xffff, so one big integer
modulo does the work of a loop; only zero needs thought, as it has two forms.
"""

from __future__ import annotations

_ALL_ONES = 0xFFFF


def checksum(data: bytes) -> int:
    """Return the 16-bit checksum of `data`, whose checksum field must be zero."""
    number = _words(data)
    total = number % _ALL_ONES or (_ALL_ONES if number else 0)
    return _ALL_ONES - total


def is_intact(data: bytes) -> bool:
    """Whether `data`, its checksum field included, sums up to what it must."""
    number = _words(data)
    return number != 0 and number % _ALL_ONES == 0


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """Return what ICMPv6, UDP and TCP sum up besides their own bytes.

    The addresses are packed, 4 bytes (RFC 768) or 16 bytes (RFC 8200 section 8.1) each.
    """
    size = 2 if len(source) == 4 else 4  # noqa: PLR2004 - bytes of an IPv4 address
    upper = length.to_bytes(size, "big")
    next_header = protocol.to_bytes(size, "big")
    return source + destination + (next_header + upper if size == 2 else upper + next_header)  # noqa: PLR2004 - IPv4


def _words(data: bytes) -> int:
    return int.from_bytes(data + b"\0" if len(data) % 2 else data, "big")
