"""One client of a VNC display, from its connection until it leaves.

QEMU: ui/vnc.c (vnc_connect, vnc_disconnect_finish)
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd, close_all
from qemu_sim.io.channel import Channel
from qemu_sim.vnc.address import basic_info
from qemu_sim.vnc.password import is_answer
from qemu_sim.wire.rfb import CHALLENGE_SIZE, Rfb

if TYPE_CHECKING:
    from qemu_sim.vnc.display import VncDisplay

_log = logging.getLogger(__name__)
_MOST_UNREAD = 4 << 20  # bytes with which a client gets no further picture: some of the largest


class VncClient:
    """It belongs to `display`, which it tells when it has come in and when it leaves."""

    def __init__(self, display: VncDisplay, sock: socket.socket, *, trusted: bool) -> None:
        """Greet who is at the other end of `sock`; a `trusted` one needs no password."""
        self.info = basic_info(sock.getpeername(), sock.family)
        self.shares: bool | None = None  # None until it has come in
        self._display = display
        self._challenge = os.urandom(CHALLENGE_SIZE)
        needs_password = display.auth != "none" and not trusted
        self._rfb = Rfb(
            display.title, self._come_in, self._challenge, self._check if needs_password else None
        )
        self._channel = Channel(sock)
        self._channel.on_data = self._receive
        self._channel.on_close = self._closed

    def start(self) -> None:
        """Let the client talk."""
        self._flush()
        self._channel.start_reading()

    def close(self) -> None:
        """End the connection."""
        if not self._channel.closed:
            self._channel.close()
            self._display.left(self)

    def _check(self, response: bytes) -> bool:
        password = self._display.valid_password
        return password is not None and is_answer(password, self._challenge, response)

    def _come_in(self, shared: bool) -> bool:
        admitted = self._display.admits(shares=shared)
        if admitted:
            self.shares = shared
            self._display.came_in(self)
        return admitted

    def _receive(self, data: bytes, fds: list[Fd]) -> None:
        close_all(fds)
        try:
            self._rfb.receive(data, draws=self._channel.queued_bytes < _MOST_UNREAD)
        except WireError as error:
            _log.info("VNC client dropped: %s", error)
            self._flush()
            self.close()
        else:
            self._flush()

    def _flush(self) -> None:
        output = self._rfb.take_output()
        if output:
            self._channel.send(output)

    def _closed(self, _: Exception | None) -> None:
        self._display.left(self)
