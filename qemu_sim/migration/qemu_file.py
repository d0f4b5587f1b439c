"""A migration channel as bytes and descriptors.

QEMU: migration/qemu-file.c
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qemu_sim.errors import MigrationError, WireError
from qemu_sim.migration.file_input import BUFFER_HIGH, FileInput
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from qemu_sim.fds import Fd
    from qemu_sim.io.any_channel import AnyChannel

_WRITE_SIZE = 64 << 10  # bytes gathered before they are sent


class QEMUFile(FileInput):
    """One migration channel, both ways."""

    def __init__(self, channel: AnyChannel, timeout: float) -> None:
        """Take ownership of `channel`."""
        self._pending = bytearray()
        self.sent_bytes = 0
        super().__init__(channel, timeout)

    @property
    def queued_bytes(self) -> int:
        """How much of what was written the kernel has not taken yet."""
        return len(self._pending) + self._channel.queued_bytes

    def write(self, data: bytes | memoryview, fds: Sequence[Fd] = ()) -> None:
        """Send `data`, with `fds` on its first byte; small pieces go together in `flush`."""
        self.sent_bytes += len(data)
        if not fds and len(data) < _WRITE_SIZE:
            self._pending += data
            if len(self._pending) >= _WRITE_SIZE:
                self._send_pending()
            return
        self._send_pending()
        self._channel.send(data, fds)

    def write_pieces(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Send up to IOV_MAX `pieces` as they are; `flush` before there are more."""
        self._send_pending()
        self.sent_bytes += sum(map(len, pieces))
        self._channel.send_pieces(pieces)

    def send_now(self, data: bytes) -> None:
        """Send `data` and what was written before, without waiting for anything."""
        self.write(data)
        self._send_pending()

    def write_only(self) -> None:
        """Leave unread what the peer may say until `end_writing`."""
        self._channel.pause_reading()

    async def peer_is_gone(self, seconds: float) -> bool:
        """Whether the peer hangs up within a moment after it has read what was written."""
        return self._socket is not None and await self._socket.hung_up(seconds)

    def write_fd(self, fd: Fd) -> None:
        """Send one descriptor on a byte of its own."""
        self.write(vmstream.FD_BYTE, (fd,))

    async def flush(self) -> None:
        """Wait until all is with the kernel. Raises MigrationError if it broke."""
        self._send_pending()
        try:
            while self._channel.queued_bytes:
                await self._drain_some(self._channel.queued_bytes)
            if self._channel.broken:
                await self._channel.drain()
        except TimeoutError:
            raise MigrationError(f"timeout while sending to {self.phase}{self._crowd()}") from None
        except (OSError, WireError) as error:
            await self._read_to_end()
            raise self.last_word() or self._broken("write to", error) from None

    async def _drain_some(self, queued: int) -> None:
        """Wait until all is with the kernel, or some of `queued`. Raises TimeoutError."""
        try:
            async with asyncio.timeout(None if self.patient else self.timeout):
                await self._channel.drain()
        except TimeoutError:
            if self._channel.queued_bytes >= queued:
                raise

    def close(self) -> None:
        """Send what is written, end the connection and drop descriptors nobody claimed."""
        self._send_pending()
        self._channel.close()
        self._fds.close()
        self._wake()
        self.on_end()

    def _crowd(self) -> str:
        """Why descriptors wait, if they do."""
        if self._socket is None or not self._socket.crowded:
            return ""
        limit = os.sysconf("SC_OPEN_MAX")
        return f": too many descriptors are in flight (RLIMIT_NOFILE is {limit})"

    def _send_pending(self) -> None:
        if self._pending:
            pending, self._pending = self._pending, bytearray()
            self._channel.send(memoryview(pending))

    async def _read_to_end(self) -> None:
        """Collect the last words of a peer that is gone."""
        try:
            while True:
                await self._wait(BUFFER_HIGH)
        except MigrationError:
            return
