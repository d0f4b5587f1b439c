"""The guest's part of IPv6 neighbour discovery.  RFC 4861, RFC 4862 section 5.4.

A solicitation from the unspecified address is duplicate address detection: the host is
about to use that address. In "any" mode it is left to the host; a guest with addresses of
its own defends them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from qemu_sim.guest import echo
from qemu_sim.wire.checksum import checksum, pseudo_header

if TYPE_CHECKING:
    from qemu_sim.guest.addresses import Addresses

_MESSAGE = struct.Struct(">BBHI16s")
_SOLICITATION = 135
_ADVERTISEMENT = 136
_SOLICITED = 0x40000000
_OVERRIDE = 0x20000000
_OUR_MAC = b"\x02\x01"  # option "target link-layer address", one unit of 8 bytes
_UNSPECIFIED = bytes(16)
_ALL_NODES = bytes.fromhex("ff02" + "00" * 13 + "01")


def answer_neighbour(
    message: bytes, sender: bytes, source: bytes, mac: bytes, addresses: Addresses
) -> tuple[bytes, bytes] | None:
    """Return the address asked for and our advertisement of it, None when there is none.

    `message` is whole and its checksum right; it came from the MAC `sender` and the packed
    address `source`.
    """
    if len(message) < _MESSAGE.size:
        return None
    kind, code, _, _, address = _MESSAGE.unpack_from(message)
    if code != 0 or address[0] == 0xFF or address == source:  # noqa: PLR2004 - ff00::/8
        return None
    probe = source == _UNSPECIFIED
    addresses.claim(address if kind == _ADVERTISEMENT or probe else source, sender)
    if kind != _SOLICITATION or (probe and addresses.any):
        return None
    if not addresses.resolve(address, sender):
        return None
    flags = _OVERRIDE if probe else _OVERRIDE | _SOLICITED
    asker = _ALL_NODES if probe else source
    return address, _advertisement(address, asker, flags, mac)


def _advertisement(address: bytes, asker: bytes, flags: int, mac: bytes) -> bytes:
    body = _MESSAGE.pack(_ADVERTISEMENT, 0, 0, flags, address) + _OUR_MAC + mac
    value = checksum(pseudo_header(address, asker, echo.ICMPV6, len(body)) + body)
    return body[:2] + value.to_bytes(2, "big") + body[4:]
