"""One port of the host that netdev `user` forwards to the guest, which refuses.

QEMU: net/slirp.c (slirp_hostfwd), libslirp
"""

from __future__ import annotations

import asyncio
import socket
import struct

from qemu_sim.errors import QMPError

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds
_MOST = 65535
_ANY = "0.0.0.0"  # noqa: S104 - QEMU's default


class ForwardedPort:
    """Listens; whoever connects is reset, as the simulated guest has no TCP at all."""

    def __init__(self, rule: str) -> None:
        """Listen as `[tcp]:[HOST]:PORT-[GUEST]:PORT` says. Raises QMPError in QEMU's words."""
        protocol, host, port, self.guest = _read(rule)
        if protocol != "tcp":
            raise QMPError(f"hostfwd of protocol '{protocol}' is not simulated by qemu-sim")
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((host, port))
            self._listener.listen(1)
        except OSError:
            self._listener.close()
            raise QMPError(f"Could not set up host forwarding rule '{rule}'") from None
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._refuse)

    def describe(self, guest: str) -> str:
        """Return its line of "info usernet"; `guest` is the address of a guest not named."""
        host, port = self._listener.getsockname()
        shown = "*" if host == _ANY else host
        named, guest_port = self.guest
        return (
            f"  TCP[HOST_FORWARD] {self._listener.fileno():3} {shown:>15} {port:5} "
            f"{named or guest:>15} {guest_port:5} {0:5} {0:5}"
        )

    def close(self) -> None:
        """Listen no more."""
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()

    def _refuse(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        with sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _read(rule: str) -> tuple[str, str, int, tuple[str, int]]:
    """Return protocol, host, port, and those of the guest. Raises QMPError in QEMU's words."""
    protocol, colon, rest = rule.partition(":")
    if not colon:
        raise _invalid(rule, "No : separators")
    if protocol not in ("", "tcp", "udp", "unix"):
        raise _invalid(rule, "Bad protocol name")
    if protocol == "unix":
        return protocol, rest, 0, ("", 0)
    host, colon, rest = rest.partition(":")
    if not colon:
        raise _invalid(rule, "Missing : separator")
    if host and not _is_address(host):
        raise _invalid(rule, "Bad host address")
    port, dash, guest = rest.partition("-")
    if not dash:
        raise _invalid(rule, "Bad host port separator")
    if not port.isdigit() or int(port) > _MOST:
        raise _invalid(rule, "Bad host port")
    guest_host, colon, guest_port = guest.partition(":")
    if not colon or (guest_host and not _is_address(guest_host)):
        raise _invalid(rule, "Bad guest address")
    if not guest_port.isdigit() or not 0 < int(guest_port) <= _MOST:
        raise _invalid(rule, "Bad guest port")
    return protocol or "tcp", host or _ANY, int(port), (guest_host, int(guest_port))


def _is_address(text: str) -> bool:
    try:
        socket.inet_aton(text)
    except OSError:
        return False
    return True


def _invalid(rule: str, reason: str) -> QMPError:
    return QMPError(f"Invalid host forwarding rule '{rule}' ({reason})")
