"""A netdev that talks over a socket, if it has one at the moment.

QEMU: net/stream.c, net/dgram.c, net/socket.c

Without a NIC frames are read and dropped; what comes for a NIC that stands still waits in
the kernel.
"""

from __future__ import annotations

import socket
from typing import Any

from qemu_sim.backends.frame_socket import FrameSocket
from qemu_sim.backends.netdev import Netdev, Receive


class SocketNetdev(Netdev):
    """What the kinds of socket have in common."""

    _opened = False
    _frames: FrameSocket | None = None
    _receive: Receive | None = None
    _paused = False
    _info = ""

    @property
    def is_open(self) -> bool:
        """Whether it was opened."""
        return self._opened

    @property
    def info(self) -> str:
        """What the connection is."""
        return self._info

    def close(self) -> None:
        """Close the connection."""
        self._drop()
        self._opened = False

    def start(self, receive: Receive) -> None:
        """Give what arrives to `receive`."""
        self._receive, self._paused = receive, False
        if self._frames is not None:
            self._frames.start()

    def stop(self) -> None:
        """Read nothing from now on."""
        self._paused = self._receive is not None
        if self._paused and self._frames is not None:
            self._frames.stop()

    def send(self, queue: int, frame: bytes) -> bool:
        """Send one Ethernet frame; False where nobody is connected."""
        del queue
        return self._frames is not None and self._frames.send(frame)

    def _use(self, sock: socket.socket, target: Any = None) -> None:
        """Own `sock` from now on."""
        sock.setblocking(False)
        self._frames = FrameSocket(sock, self._deliver, self._ended, target)
        if not self._paused:
            self._frames.start()

    def _deliver(self, frame: bytes) -> None:
        if self._receive is not None and self.link_up:
            self._receive(0, frame)

    def _ended(self) -> None:
        """Note that the peer is gone."""
        self._drop()

    def _drop(self) -> None:
        if self._frames is not None:
            self._frames.close()
            self._frames = None
