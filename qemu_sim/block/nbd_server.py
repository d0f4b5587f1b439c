"""A listening socket whose clients use a machine's exports.

QEMU: blockdev-nbd.c
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from qemu_sim.block.nbd_connection import NbdConnection
from qemu_sim.io import sockets

if TYPE_CHECKING:
    from qemu_sim.block.export import Export
    from qemu_sim.block.exports import Bug
    from qemu_sim.io.address import StreamAddress

_BACKLOG = 10  # blockdev-nbd.c


class NbdServer:
    """Listens, and makes a connection of each client."""

    def __init__(
        self,
        address: StreamAddress | socket.socket,
        exports: Callable[[], list[Export]],
        bug: Bug,
        *,
        max_connections: int,
        handshake_seconds: int,
    ) -> None:
        """Listen at `address`, or own a socket that is bound. Raises QMPError in QEMU's words."""
        self._address = None if isinstance(address, socket.socket) else address
        self._exports = exports
        self._bug = bug
        self._max = max_connections
        self._handshake_seconds = handshake_seconds
        self._connections: set[NbdConnection] = set()
        if isinstance(address, socket.socket):
            self._listener = address
            address.setblocking(False)
            address.listen(_BACKLOG)
        else:
            self._listener = sockets.listen(address, _BACKLOG)
        self._loop = asyncio.get_running_loop()
        self._watch()

    def close(self) -> None:
        """End everything and remove the socket."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        if self._address is not None:
            sockets.remove_path(self._address)
        for connection in list(self._connections):
            connection.close()

    def _watch(self) -> None:
        """Accept clients, or leave them waiting while there are as many as there may be."""
        if self._max and len(self._connections) >= self._max:
            self._loop.remove_reader(self._listener.fileno())
        else:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = NbdConnection(sock, self._exports, self._bug, shared=self._max != 1)
        self._connections.add(connection)
        connection.on_close = lambda: self._closed(connection)
        connection.start(self._handshake_seconds)
        self._watch()

    def _closed(self, connection: NbdConnection) -> None:
        self._connections.discard(connection)
        if self._listener.fileno() >= 0:
            self._watch()
