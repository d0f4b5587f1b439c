"""Listens for the clients of one monitor and admits one at a time.

QEMU: chardev/char-socket.c

A second client is connected by the kernel and waits, without a greeting, until the
first one leaves. A client of another user is turned away.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from qemu_sim.io import address as addresses
from qemu_sim.io import sockets
from qemu_sim.io.channel import Channel

_log = logging.getLogger(__name__)

Admit = Callable[[Channel, Callable[[], None]], None]


class Server:
    """One listening socket."""

    def __init__(
        self,
        listener: socket.socket,
        admit: Admit,
        *,
        check_peer: bool = True,
        address: addresses.StreamAddress | None = None,
    ) -> None:
        """Own `listener`; `admit(channel, left)` takes a client and says when it left.

        `address` is what this process bound itself and removes at the end.
        """
        listener.setblocking(False)
        self._listener = listener
        self._admit = admit
        self._check_peer = check_peer
        self._address = None if address is None else addresses.absolute(address)
        self._loop = asyncio.get_running_loop()

    @property
    def bound(self) -> dict[str, Any]:
        """The QAPI SocketAddress it really has: port 0 is resolved."""
        return sockets.bound_address(self._listener)

    def start(self) -> None:
        """Admit the next client."""
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        """Listen no more, and remove the socket file."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        if self._address is not None:
            sockets.remove_path(self._address)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client has gone again
            return
        if self._check_peer and not sockets.trusted_peer(sock):
            _log.warning("QMP client of another user turned away")
            sock.close()
            return
        self._loop.remove_reader(self._listener.fileno())
        self._admit(Channel(sock, lingers=True), self.start)
