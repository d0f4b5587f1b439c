"""What comes from a migration channel: bytes and descriptors, read by exact counts.

QEMU: migration/qemu-file.c (qemu_fill_buffer, qemu_peek_buffer, qemu_file_get_fd)
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from qemu_sim.errors import LoadError, MigrationError
from qemu_sim.fds import Fd
from qemu_sim.io.channel import Channel
from qemu_sim.migration.arrived_fds import ArrivedFds
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from qemu_sim.io.any_channel import AnyChannel

BUFFER_HIGH = 1 << 20  # bytes read ahead; more stays in the kernel
_EAGER_SECONDS = 0.001  # beyond it the peer is slow, and the CPU somebody else's


class FileInput:
    """The reading half. Every wait ends after `timeout` seconds without progress."""

    def __init__(self, channel: AnyChannel, timeout: float) -> None:
        """Take ownership of `channel`."""
        self._channel = channel
        self._socket = channel if isinstance(channel, Channel) else None
        self._channel.half_open = True
        self._channel.on_data = self._receive
        self._channel.on_close = self._closed
        self._buffer = bytearray()
        self._fds = ArrivedFds()
        self._wanted = 0
        self._paused = False  # as enough was read ahead
        self._arrived: asyncio.Future[None] | None = None
        self._end: MigrationError | None = None
        self._cut_off: MigrationError | None = None  # the end, where it was the peer's
        self.lacking: LoadError | None = None
        """What QEMU says of a stream that ends here, where that is known."""
        self.torn = False
        """Whether the end came as an error."""
        self.timeout = timeout
        self.on_end: Callable[[], None] = _nothing
        """Told that the channel has ended, or was closed."""
        self.phase = "the peer"
        # Whether to wait for a silent peer for ever, as for all that is not a socket: it may
        # be a program, or a disk, and whoever is tired of it can cancel.
        self.patient = self._socket is None
        self.name = "migration channel"  # what QEMU calls a destination's, once that is known
        # Poll for a moment before sleeping: while the guest stands still, each wake-up costs.
        self.eager = False
        credentials = None if self._socket is None else self._socket.peer_credentials()
        # A peer on this very event loop could not answer meanwhile.
        self._may_poll = credentials is not None and credentials[0] != os.getpid()
        self.received_bytes = 0
        self._channel.start_reading()

    @property
    def channel(self) -> AnyChannel:
        """What it is read from and written to."""
        return self._channel

    def forget_input(self) -> None:
        """Drop what was read ahead, and that this was the end."""
        self._buffer.clear()
        self._end = None

    @property
    def carries_fds(self) -> bool:
        """Whether descriptors can travel."""
        return self._channel.carries_fds

    @property
    def duplex(self) -> bool:
        """Whether the peer can answer on it."""
        return self._channel.duplex

    @property
    def ended(self) -> bool:
        """Whether the peer has closed or broken the connection."""
        return self._end is not None

    def is_end(self, error: Exception) -> bool:
        """Whether that is what a read at the end of the connection raised."""
        return error is self._cut_off

    async def read(self, size: int) -> bytes:
        """Return exactly `size` bytes. Raises MigrationError at the end, or when it takes too long.

        The error names `phase`, what is being waited for.
        """
        while len(self._buffer) < size:
            await self._wait(size)
        self._wanted = 0
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        if self._paused:
            self._resume()
        return data

    async def peek(self, size: int) -> bytes:
        """Return what `read` would, and leave it there."""
        while len(self._buffer) < size:
            await self._wait(size)
        self._wanted = 0
        return bytes(self._buffer[:size])

    def break_off(self, error: MigrationError) -> None:
        """Let whoever reads have `error`, as if the channel had ended with it."""
        self._end = error
        self._wake()

    @property
    def arrived(self) -> bytearray:
        """What can be read without waiting: to look at, and then to `skip`."""
        return self._buffer

    def skip(self, size: int) -> None:
        """Take `size` bytes that have arrived as read."""
        del self._buffer[:size]
        self._resume()

    async def read_some(self) -> bytes:
        """Return what has arrived, at least one byte; raises as `read`."""
        if not self._buffer:
            await self._wait(1)
        return await self.read(len(self._buffer))

    def check_open(self) -> None:
        """Raise MigrationError if the channel has ended or was closed; the peer's word, if any."""
        if self._end is not None:
            raise self.last_word() or self._end
        if self._channel.closed:
            raise MigrationError("the migration channel was closed")

    async def read_fd(self, what: str) -> Fd:
        """Return the next descriptor; `what` names it in errors."""
        if await self.read(1) != vmstream.FD_BYTE:
            raise MigrationError(f"no descriptor where {what} was announced")
        return self._fds.take(self.received_bytes - len(self._buffer), what)

    async def next_fd(self) -> Fd | None:
        """Return the first descriptor that has arrived, and take the byte at hand for its own.

        Where none has arrived it is None, and no byte is taken: qemu_file_get_fd does so.
        """
        if not self.carries_fds:
            raise MigrationError(f"{self.name} does not support fd passing")
        if not self._buffer:
            await self._wait(1)
        if not self._fds:
            return None
        await self.read(1)
        return self._fds.take_first()

    def check_all_claimed(self) -> None:
        """Raise MigrationError if descriptors arrived that nothing announced."""
        self._fds.check_all_claimed()

    def last_word(self) -> MigrationError | None:
        """What the peer said before it left: nothing, where no words are known."""
        return None

    def _receive(self, data: bytes, fds: list[Fd]) -> None:
        self._buffer += data
        self.received_bytes += len(data)
        if fds:
            self._fds.add(self.received_bytes, fds)
        if len(self._buffer) >= self._wanted:
            self._wake()
        if len(self._buffer) > self._enough:
            self._paused = True
            self._channel.pause_reading()

    def _closed(self, error: Exception | None) -> None:
        if error is None:
            error = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        else:
            self.torn = True
        self._end = self._cut_off = self._broken("read from", error)
        self._wake()
        self.on_end()

    def _broken(self, verb: str, error: Exception) -> MigrationError:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        return MigrationError(f"Unable to {verb} {self._channel.name}: {reason}")

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _resume(self) -> None:
        if len(self._buffer) <= self._enough and self._end is None:
            self._paused = False
            self._channel.start_reading()

    @property
    def _enough(self) -> int:
        """How many bytes are read ahead: what is waited for may be more than usual."""
        return max(BUFFER_HIGH, self._wanted)

    async def _wait(self, size: int) -> None:
        if self._end is not None:
            raise self._end
        if self._channel.closed:
            raise MigrationError("the migration channel was closed")
        self._wanted = size
        self._resume()
        if self.eager and self._may_poll and (self._poll(size) or self.ended):
            return  # the end, too, was told while nobody slept: there is no second wake-up
        loop = asyncio.get_running_loop()
        self._arrived = loop.create_future()
        received = self.received_bytes
        # Lighter than asyncio.timeout, and this is waited for while the guest stands still.
        late = None if self.patient else loop.call_later(self.timeout, self._wake)
        try:
            await self._arrived
        finally:
            if late is not None:
                late.cancel()
            self._arrived = None
        if self.received_bytes == received and not self.ended and not self._channel.closed:
            raise MigrationError(f"timeout after {self.timeout:g} s while waiting for {self.phase}")

    def _poll(self, size: int) -> bool:
        """Look again and again for a moment; return whether `size` bytes are there."""
        assert self._socket is not None
        end = time.perf_counter() + _EAGER_SECONDS
        while len(self._buffer) < size and not self.ended and time.perf_counter() < end:
            self._socket.poll()
            os.sched_yield()  # the peer may need this very CPU
        return len(self._buffer) >= size


def _nothing() -> None:
    """Nobody has asked to be told."""
