"""The clients of a monitor on a chardev that was there before it: one after the other.

QEMU: monitor/qmp.c (monitor_qmp_event), chardev/char-socket.c
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from qemu_sim.fds import Fd
from qemu_sim.io import sockets
from qemu_sim.io.channel import Channel

if TYPE_CHECKING:
    from qemu_sim.backends.chardev_socket import ChardevSocket
    from qemu_sim.monitor.server import Admit

_log = logging.getLogger(__name__)


class ChardevClients:
    """Takes who is connected to the chardev, and the next one when that one has left."""

    bound = None  # its address is the chardev's

    def __init__(
        self, chardev: ChardevSocket, admit: Admit, left: Callable[[], None], *, check_peer: bool
    ) -> None:
        """`admit(channel, left)` takes a client and says when it left; then `left()` is told."""
        self._chardev = chardev
        self._admit = admit
        self._left = left
        self._check_peer = check_peer
        self._channel: Channel | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Admit who is connected, or who will be."""
        self._task = asyncio.get_running_loop().create_task(self._take())

    def close(self) -> None:
        """Admit nobody any more; who is there stays connected to the chardev."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._channel is not None and not self._channel.closed:
            self._chardev.give_back(self._channel.detach())
        self._channel = None

    async def _take(self) -> None:
        while True:
            fd: Fd = await self._chardev.take()
            sock = socket.socket(fileno=fd.detach())
            if not self._check_peer or sockets.trusted_peer(sock):
                break
            _log.warning("QMP client of another user turned away")
            sock.close()
            self._chardev.disconnected()
        self._channel = Channel(sock, lingers=True)
        self._admit(self._channel, self._client_left)

    def _client_left(self) -> None:
        self._channel = self._task = None
        self._chardev.disconnected()
        # It is told last: it may close what is here.
        if self._chardev.is_open:
            self.start()
        self._left()
