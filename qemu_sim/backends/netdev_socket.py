"""Netdev `socket`: the older way to have frames over TCP, UDP or a multicast group.

QEMU: net/socket.c

Nobody is told when a connection begins or ends, nor that one cannot be made.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

from qemu_sim.backends.multicast import is_group, multicast_socket
from qemu_sim.backends.socket_netdev import SocketNetdev
from qemu_sim.errors import QMPError
from qemu_sim.io.listener import Listener

_WAYS = ("listen", "connect", "mcast", "udp")


class NetdevSocket(SocketNetdev):
    """One of `fd`, `listen`, `connect`, `mcast` and `udp`, each HOST:PORT but the first."""

    TYPE = "socket"

    _listener: Listener | None = None
    _task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the socket. Raises QMPError in QEMU's words."""
        ways = [way for way in _WAYS if way in self.options]
        if len(ways) + ("fd" in self.options) != 1:
            raise QMPError("exactly one of listen=, connect=, mcast= or udp= is required")
        if "fd" in self.options:
            self._use_given()
        else:
            if "localaddr" in self.options and ways[0] not in ("mcast", "udp"):
                raise QMPError("localaddr= is only valid with mcast= or udp=")
            getattr(self, f"_{ways[0]}")(self.options[ways[0]])
        self._opened = True

    def close(self) -> None:
        """Close the connection, and listen no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        super().close()

    def _use_given(self) -> None:
        name = self.options["fd"]
        if not self._given:
            raise QMPError(f"File descriptor named '{name}' has not been found")
        sock = socket.socket(fileno=self._given.pop().detach())
        self._info = f"socket: fd={sock.fileno()}"
        self._use(sock)

    def _listen(self, text: str) -> None:
        place = _place(text)
        listener = _bound(socket.SOCK_STREAM, place)
        listener.listen(0)
        self._listener = Listener(listener, self._took)
        self._listener.wait()

    def _took(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        self._info = f"socket: connection from {peer[0]}:{peer[1]}"
        self._use(sock)

    def _connect(self, text: str) -> None:
        self._task = asyncio.get_running_loop().create_task(self._call(_place(text)))

    async def _call(self, place: tuple[str, int]) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            await asyncio.get_running_loop().sock_connect(sock, place)
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            return
        self._info = f"socket: connect to {place[0]}:{place[1]}"
        self._use(sock)

    def _mcast(self, text: str) -> None:
        group = _place(text)
        if not is_group(group[0]):
            number = int.from_bytes(socket.inet_aton(group[0]))
            raise QMPError(
                f"specified mcastaddr {group[0]} (0x{number:08x}) does not contain "
                "a multicast address"
            )
        self._use(multicast_socket(group, self.options.get("localaddr")), group)
        self._info = f"socket: mcast={group[0]}:{group[1]}"

    def _udp(self, text: str) -> None:
        if "localaddr" not in self.options:
            raise QMPError("localaddr= is mandatory with udp=")
        target = _place(text)
        self._use(_bound(socket.SOCK_DGRAM, _place(self.options["localaddr"])), target)
        self._info = f"socket: udp={target[0]}:{target[1]}"

    def _ended(self) -> None:
        self._drop()
        self._info = ""
        if self._listener is not None:
            self._listener.wait()


def _place(text: str) -> tuple[str, int]:
    """Read HOST:PORT; an empty host is any. Raises QMPError in QEMU's words."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise QMPError(f"host address '{text}' doesn't contain ':' separating host from port")
    if not port.isdigit():
        raise QMPError(f"port number '{port}' is invalid")
    with suppress(OSError):
        return (socket.gethostbyname(host) if host else "0.0.0.0"), int(port)  # noqa: S104
    raise QMPError(f"can't resolve host address '{host}': Unknown host")


def _bound(kind: int, place: tuple[str, int]) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(place)
    except OSError as error:
        sock.close()
        why = os.strerror(error.errno or 0)
        raise QMPError(f"can't bind ip={place[0]} to socket: {why}") from None
    return sock
