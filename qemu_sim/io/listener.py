"""A listening socket that takes one client at a time: the next one waits in its queue."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

Took = Callable[[socket.socket, Any], None]
"""Told a client's socket, which does not block, and its address as the kernel has it."""


class Listener:
    """Owns `sock`, which listens. After each client it rests until the next `wait`."""

    def __init__(self, sock: socket.socket, took: Took) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._took = took
        self._loop = asyncio.get_running_loop()

    def wait(self) -> None:
        """Take the next client; nothing happens once it is closed."""
        if self.sock.fileno() >= 0:
            self._loop.add_reader(self.sock.fileno(), self._accept)

    def close(self) -> None:
        """Listen no more; nothing happens the second time."""
        if self.sock.fileno() >= 0:
            self._loop.remove_reader(self.sock.fileno())
            self.sock.close()

    def _accept(self) -> None:
        try:
            sock, address = self.sock.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client has gone again
            return
        self._loop.remove_reader(self.sock.fileno())
        sock.setblocking(False)
        self._took(sock, address)
