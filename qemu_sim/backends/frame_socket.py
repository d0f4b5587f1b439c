"""Ethernet frames over a connected socket: each a datagram, or after its length in a stream.

QEMU: net/stream_data.c, net/dgram.c, net/socket.c, net/net.c (net_fill_rstate)
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

_LENGTH = 4  # bytes, big-endian
_READ_SIZE = 68 << 10
_LONGEST = 68 << 10  # NET_BUFSIZE


class FrameSocket:
    """Hands each frame to `deliver`; a stream that ends, or cannot be understood, to `ended`."""

    def __init__(
        self,
        sock: socket.socket,
        deliver: Callable[[bytes], None],
        ended: Callable[[], None],
        target: Any = None,
    ) -> None:
        """Own `sock`, non-blocking; datagrams go to `target` where it is not connected."""
        self._sock = sock
        self._deliver = deliver
        self._ended = ended
        self._target = target
        self._stream = sock.type == socket.SOCK_STREAM
        self._unread = bytearray()
        self._unsent = bytearray()
        self._loop = asyncio.get_running_loop()
        self._reading = False

    def start(self) -> None:
        """Read what arrives."""
        if not self._reading:
            self._reading = True
            self._loop.add_reader(self._sock.fileno(), self._read)

    def stop(self) -> None:
        """Leave what arrives in the kernel."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock.fileno())

    def send(self, frame: bytes) -> bool:
        """Send a frame; False where it is dropped, as there is no room."""
        if self._stream:
            return self._send_in_stream(frame)
        try:
            if self._target is None:
                self._sock.send(frame)
            else:
                self._sock.sendto(frame, self._target)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self.stop()
        if self._unsent:
            self._loop.remove_writer(self._sock.fileno())
        self._sock.close()

    def _send_in_stream(self, frame: bytes) -> bool:
        if self._unsent:
            return False
        self._unsent += len(frame).to_bytes(_LENGTH) + frame
        self._write()
        if self._unsent:
            self._loop.add_writer(self._sock.fileno(), self._write_on)
        return True

    def _write(self) -> None:
        try:
            del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:  # who reads learns of it, too
            self._unsent.clear()

    def _write_on(self) -> None:
        self._write()
        if not self._unsent:
            self._loop.remove_writer(self._sock.fileno())

    def _read(self) -> None:
        try:
            data = self._sock.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # of a datagram that nobody took, or of a lost connection
            data = b""
        if not self._stream:
            if data:
                self._deliver(data)
        elif data:
            self._unread += data
            self._take_frames()
        else:
            self._ended()

    def _take_frames(self) -> None:
        while len(self._unread) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._unread[:_LENGTH])
            if end > _LENGTH + _LONGEST:
                self._ended()
                return
            if len(self._unread) < end:
                return
            frame = bytes(self._unread[_LENGTH:end])
            del self._unread[:end]
            self._deliver(frame)
