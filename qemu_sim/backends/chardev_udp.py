"""Chardev `udp`: each write is a datagram.

QEMU: chardev/char-udp.c, util/qemu-sockets.c (inet_dgram_saddr)
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd


class ChardevUdp(Chardev):
    """`remote` and maybe `local` are SocketAddressLegacy of type inet."""

    TYPE = "udp"

    _socket: Fd | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a socket."""
        return self._socket is not None

    async def open(self) -> None:
        """Bind and connect the socket. Raises QMPError in QEMU's words."""
        remote, local = self.options["remote"], self.options.get("local", {})
        if remote["type"] != "inet":
            raise QMPError("socket type unsupported for datagram")
        if not remote["data"]["port"]:
            raise QMPError("remote port not specified")
        family, target = await _resolve(remote["data"], "localhost")
        source = await _resolve(local.get("data", {"host": "", "port": "0"}), "", family)
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for act, place, failed in (
                (sock.bind, source[1], "Failed to bind socket"),
                (sock.connect, target, "Failed to connect to '{host}:{port}'"),
            ):
                try:
                    act(place)
                except OSError as error:
                    text = failed.format_map(remote["data"])
                    raise QMPError(f"{text}: {os.strerror(error.errno or 0)}") from None
            self._socket = Fd(sock.detach())

    def send(self, data: bytes) -> None:
        """Send `data`."""
        assert self._socket is not None, "chardev is closed"
        self._write_to(self._socket, data)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        super().close()


async def _resolve(address: dict[str, Any], default: str, family: int = 0) -> tuple[int, Any]:
    """Return the family and the first address of a host. Raises QMPError in QEMU's words."""
    host, port = address["host"] or default, address["port"] or "0"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host or None, port, family=family, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "Name or service not known"
        raise QMPError(f"address resolution failed for {host}:{port}: {reason}") from None
    return found[0][0], found[0][4]
