"""Netdev `user`: QEMU's own little network, with a router that is a program.

QEMU: net/slirp.c

None of that network is simulated: no frame comes back. What the host sees of it is: the TCP
ports that `hostfwd` forwards take a connection and reset it, as the simulated guest listens
at none.
"""

from __future__ import annotations

import os
import socket
from ipaddress import AddressValueError, IPv4Address

from qemu_sim.backends.netdev import Netdev, Receive
from qemu_sim.backends.user_forwarding import ForwardedPort
from qemu_sim.errors import QMPError

_DEFAULT = "10.0.2.0/24"
_HOST, _DNS, _DHCP = 0x202, 0x203, 0x20F  # in the network, unless it is said
_ALL = 0xFFFFFFFF
# Leading bits, their mask, and the mask of a network that is given without one.
_CLASSES = (
    (0x00000000, 0x80000000, 0xFF000000),
    (0xAC100000, 0xFFF00000, 0xFFF00000),
    (0x80000000, 0xC0000000, 0xFFFF0000),
    (0xC0A80000, 0xFFFF0000, 0xFFFF0000),
    (0xC6120000, 0xFFFE0000, 0xFFFE0000),
    (0xE0000000, 0xE0000000, 0xFFFFFF00),
)
_LAST_CLASS = 0xFFFFFFF0
_IPV4 = ("net", "host", "dns")
_IPV6 = ("ipv6-prefix", "ipv6-host", "ipv6-dns")
_SHORTEST, _LONGEST = 4, 32
_LONGEST_IPV6 = 126
_LONGEST_NAME = 255
_NOT_SIMULATED = ("guestfwd",)
_SMBD = "/usr/sbin/smbd"


class NetdevUser(Netdev):
    """The options are those of QAPI's NetdevUserOptions."""

    TYPE = "user"

    _ports: list[ForwardedPort] | None = None
    _net = 0
    _dhcp = 0

    @property
    def info(self) -> str:
        """The IPv4 network."""
        restrict = "on" if self.options.get("restrict") else "off"
        return f"net={IPv4Address(self._net)},restrict={restrict}"

    @property
    def is_open(self) -> bool:
        """Whether it was opened."""
        return self._ports is not None

    async def open(self) -> None:
        """Check the options, then listen at the ports. Raises QMPError in QEMU's words."""
        self._check()
        for key in _NOT_SIMULATED:
            if key in self.options:
                raise QMPError(f"'{key}' of netdev user is not simulated by qemu-sim")
        self._ports = []
        for rule in self.options.get("hostfwd", ()):
            self._ports += [ForwardedPort(rule["str"])]

    @property
    def connections(self) -> list[str]:
        """Lines of "info usernet": of the guest's own connections there are none."""
        guest = str(IPv4Address(self._dhcp))
        return [port.describe(guest) for port in self._ports or ()]

    def close(self) -> None:
        """Forward nothing any more."""
        for port in self._ports or ():
            port.close()
        self._ports = None

    def start(self, receive: Receive) -> None:
        """Say nothing to the guest."""

    def stop(self) -> None:
        """There is nothing to stop."""

    def send(self, queue: int, frame: bytes) -> bool:
        """Take a frame, which nobody hears."""
        del queue, frame
        return True

    def _check(self) -> None:
        options = self.options
        ipv4, ipv6 = options.get("ipv4", True), options.get("ipv6", True)
        if "ipv4" in options and "ipv6" not in options:
            ipv6 = not options["ipv4"] or ipv6
        if not ipv4 and any(key in options for key in _IPV4):
            raise QMPError("IPv4 disabled but netmask/host/dns provided")
        if not ipv6 and any(key in options for key in _IPV6):
            raise QMPError("IPv6 disabled but prefix/host6/dns6 provided")
        if not (ipv4 or ipv6):
            raise QMPError("IPv4 and IPv6 disabled")
        self._check_ipv4(*_network(options.get("net", _DEFAULT)))
        self._check_ipv6()
        if len(options.get("hostname", "")) > _LONGEST_NAME:
            raise QMPError(f"'vhostname' parameter cannot exceed {_LONGEST_NAME} bytes")
        if "smb" in options:
            found = os.path.exists(_SMBD)
            missing = f"Could not find '{_SMBD}', please install it"
            raise QMPError(
                "'smb' of netdev user is not simulated by qemu-sim" if found else missing
            )

    def _check_ipv4(self, net: int, mask: int) -> None:
        options = self.options
        self._net = net

        def read(key: str, default: int, name: str) -> int:
            return _address(options[key], f"Failed to parse {name}") if key in options else default

        def inside(address: int) -> bool:
            return address & mask == net

        host = read("host", net | _HOST & ~mask, "host")
        if not inside(host):
            raise QMPError("Host doesn't belong to network")
        dns = read("dns", net | _DNS & ~mask, "DNS")
        if options.get("restrict") and not inside(dns):
            raise QMPError("DNS doesn't belong to network")
        if dns == host:
            raise QMPError("DNS must be different from host")
        dhcp = read("dhcpstart", net | _DHCP & ~mask, "DHCP start address")
        if not inside(dhcp):
            raise QMPError("DHCP doesn't belong to network")
        self._dhcp = dhcp
        if dhcp in (host, dns):
            raise QMPError("DHCP must be different from host and DNS")

    def _check_ipv6(self) -> None:
        for key, name in zip(_IPV6, ("prefix", "host", "DNS"), strict=True):
            if key in self.options:
                try:
                    socket.inet_pton(socket.AF_INET6, self.options[key])
                except OSError:
                    raise QMPError(f"Failed to parse IPv6 {name}") from None
        if not 0 <= self.options.get("ipv6-prefixlen", 64) <= _LONGEST_IPV6:
            raise QMPError(
                "Invalid IPv6 prefix provided (IPv6 prefix length must be between 0 and "
                f"{_LONGEST_IPV6})"
            )


def _network(text: str) -> tuple[int, int]:
    """Return the network and its mask. Raises QMPError in QEMU's words."""
    address, slash, length = text.partition("/")
    number = _address(address, "Failed to parse netmask")
    if not slash:
        found = (mask for bits, leading, mask in _CLASSES if number & leading == bits)
        mask = next(found, _LAST_CLASS)
    elif not length.isdigit():
        mask = _address(length, "Failed to parse netmask (trailing chars)")
    elif _SHORTEST <= int(length) <= _LONGEST:
        mask = _ALL << (32 - int(length)) & _ALL
    else:
        raise QMPError(f"Invalid netmask provided (must be in range {_SHORTEST}-{_LONGEST})")
    return number & mask, mask


def _address(text: str, failed: str) -> int:
    try:
        return int(IPv4Address(text))
    except AddressValueError:
        raise QMPError(failed) from None
