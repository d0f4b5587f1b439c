"""The two directions of a migration channel, read by exact counts.

QEMU: migration/qemu-file.c

Descriptors are kept with their place in the stream. Bytes written before a message with
descriptors may come glued to it in one read, but never bytes written after it (Linux
net/unix/af_unix.c, unix_stream_read_generic), so what came with a read belongs to the
read's last byte, given that such messages are one byte long. `read_fd` asks for exactly
one descriptor on the very byte it reads.
"""

from __future__ import annotations

import asyncio
import collections
import errno
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError, WireError
from qemu_sim.fds import Fd, close_all
from qemu_sim.io.channel import Channel
from qemu_sim.wire import vmstream
from qemu_sim.wire.bytes_reader import BytesReader, run

if TYPE_CHECKING:
    from qemu_sim.io.any_channel import AnyChannel

_BUFFER_HIGH = 1 << 20  # bytes read ahead; more stays in the kernel
_EAGER_SECONDS = 0.001  # beyond it the peer is slow, and the CPU somebody else's
_WRITE_SIZE = 64 << 10  # bytes gathered before they are sent
_FAILED = vmstream.frame(vmstream.RETURN_SHUT, b"\0\0\0\1")
_LAST_WORDS = {
    vmstream.REPLY_REFUSED: "",
    vmstream.COMMAND_ABORT: "the source took it back: ",
}

_log = logging.getLogger(__name__)

Trace = Callable[[str, dict[str, Any], int], None]
"""Told "in" or "out", what passed, and how many descriptors came with it."""


class Stream:
    """One migration channel. Every wait ends after `timeout` seconds without progress."""

    def __init__(self, channel: AnyChannel, timeout: float, trace: Trace) -> None:
        """Take ownership of `channel`; `trace` is told what passes."""
        self.trace = trace
        self._channel = channel
        self._socket = channel if isinstance(channel, Channel) else None
        self._channel.half_open = True
        self._channel.on_data = self._receive
        self._channel.on_close = self._closed
        self._buffer = bytearray()
        self._fds: collections.deque[tuple[int, list[Fd]]] = collections.deque()
        self._pending = bytearray()
        self._wanted = 0
        self._arrived: asyncio.Future[None] | None = None
        self._end: MigrationError | None = None
        self._torn = False
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
        self.sent_bytes = 0
        self._channel.start_reading()

    @property
    def carries_fds(self) -> bool:
        """Whether descriptors can travel."""
        return self._channel.carries_fds

    @property
    def duplex(self) -> bool:
        """Whether the peer can answer on it."""
        return self._channel.duplex

    @property
    def queued_bytes(self) -> int:
        """How much of what was written the kernel has not taken yet."""
        return len(self._pending) + self._channel.queued_bytes

    @property
    def ended(self) -> bool:
        """Whether the peer has closed or broken the connection."""
        return self._end is not None

    async def read(self, size: int) -> bytes:
        """Return exactly `size` bytes. Raises MigrationError at the end, or when it takes too long.

        The error names `phase`, what is being waited for.
        """
        while len(self._buffer) < size:
            await self._wait(size)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._resume()
        return data

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
        place = self.received_bytes - len(self._buffer)
        if self._fds and self._fds[0][0] < place:
            self.check_all_claimed()
        if not self._fds or self._fds[0][0] != place:
            raise MigrationError(f"{what} was announced but no descriptor came with it")
        _, fds = self._fds.popleft()
        if len(fds) != 1:
            close_all(fds)
            raise MigrationError(f"{what} was announced, {len(fds)} descriptors came in its place")
        return fds[0]

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
        _, fds = self._fds[0]
        fd = fds.pop(0)
        if not fds:
            self._fds.popleft()
        return fd

    def check_all_claimed(self) -> None:
        """Raise MigrationError if descriptors arrived that nothing announced."""
        if self._fds:
            raise MigrationError(f"received fd {self._fds[0][1][0].fileno()} was never claimed")

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

    def command(self, code: int, body: dict[str, Any]) -> None:
        """Send a command of ours to the destination."""
        self.trace("out", {vmstream.NAMES[code]: body}, 0)
        self.write(vmstream.command(code, body))

    def reply(self, code: int, body: dict[str, Any]) -> None:
        """Send a message of ours on the return path."""
        self.trace("out", {vmstream.NAMES[code]: body}, 0)
        self.write(vmstream.reply(code, body))

    def qemu_command(self, code: int, data: bytes = b"") -> None:
        """Send a command of QEMU's to the destination."""
        self.trace("out", {vmstream.COMMANDS[code]: data.hex()}, 0)
        self.write(bytes([vmstream.COMMAND]) + vmstream.frame(code, data))

    def qemu_reply(self, code: int, data: bytes = b"") -> None:
        """Send a message of QEMU's on the return path."""
        self.trace("out", {vmstream.REPLIES[code]: data.hex()}, 0)
        self.write(vmstream.frame(code, data))

    async def read_command(self) -> vmstream.Message:
        """Read a command, after its kind."""
        message = await vmstream.read_message(self)
        self.trace_command(message)
        return message

    async def read_reply(self) -> vmstream.Message:
        """Read a message of the return path."""
        message = await vmstream.read_message(self)
        self._trace_message(message, vmstream.REPLIES)
        return message

    def trace_command(self, message: vmstream.Message) -> None:
        """Tell that a command came."""
        self._trace_message(message, vmstream.COMMANDS)

    def _trace_message(self, message: vmstream.Message, names: dict[int, str]) -> None:
        name = vmstream.NAMES.get(message.code) or names.get(message.code, hex(message.code))
        self.trace("in", {name: message.body or message.data.hex()}, 0)

    def write_only(self) -> None:
        """Leave unread what the peer may say until `end_writing`."""
        self._channel.pause_reading()

    async def peer_is_gone(self, seconds: float) -> bool:
        """Whether the peer hangs up within a moment after it has read what was written."""
        return self._socket is not None and await self._socket.hung_up(seconds)

    async def end_writing(self, seconds: float) -> bytes:
        """Let the peer read to the end; return what it says of that, empty for nothing.

        A peer that says nothing is waited for until it hangs up, at most `seconds`.
        Raises MigrationError when it hung up without having read everything.
        """
        if self._socket is None:  # what a program says is not meant for us
            return b""
        self._channel.shut_down_writing()
        self._channel.start_reading()
        try:
            async with asyncio.timeout(seconds):
                return (await self.read_reply()).data
        except TimeoutError:
            return b""
        except MigrationError:
            if self._torn:
                raise
            return b""

    def write_fd(self, fd: Fd) -> None:
        """Send one descriptor on a byte of its own."""
        self.write(vmstream.FD_BYTE, (fd,))

    async def flush(self) -> None:
        """Wait until all is with the kernel. Raises MigrationError if it broke."""
        self._send_pending()
        try:
            if self._channel.queued_bytes:
                async with asyncio.timeout(None if self.patient else self.timeout):
                    await self._channel.drain()
            elif self._channel.broken:
                await self._channel.drain()
        except TimeoutError:
            raise MigrationError(f"timeout while sending to {self.phase}") from None
        except (OSError, WireError) as error:
            await self._read_to_end()
            raise self.last_word() or self._broken("write to", error) from None

    @property
    def was_refused(self) -> bool:
        """Whether the last thing that came and was not read is that the peer has failed."""
        return self._buffer.endswith(_FAILED)

    def last_word(self) -> MigrationError | None:
        """What the peer said before it left, if it did; better than "broken pipe"."""
        message = _last_message(bytes(self._buffer))
        return None if message is None else said(message)

    def close(self) -> None:
        """Send what is written, end the connection and drop descriptors nobody claimed."""
        self._send_pending()
        self._channel.close()
        for _, fds in self._fds:
            for fd in fds:
                _log.warning("qemu_fclose: received fd %d was never claimed", fd.fileno())
            close_all(fds)
        self._fds.clear()
        self._wake()
        self.on_end()

    def _send_pending(self) -> None:
        if self._pending:
            pending, self._pending = self._pending, bytearray()
            self._channel.send(memoryview(pending))

    def _receive(self, data: bytes, fds: list[Fd]) -> None:
        self._buffer += data
        self.received_bytes += len(data)
        if fds:
            self._fds.append((self.received_bytes, fds))
        if len(self._buffer) >= self._wanted:
            self._wake()
        if len(self._buffer) > _BUFFER_HIGH:
            self._channel.pause_reading()

    def _closed(self, error: Exception | None) -> None:
        if error is None:
            error = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        else:
            self._torn = True
        self._end = self._broken("read from", error)
        self._wake()
        self.on_end()

    def _broken(self, verb: str, error: Exception) -> MigrationError:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        return MigrationError(f"Unable to {verb} {self._channel.name}: {reason}")

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _resume(self) -> None:
        if len(self._buffer) <= _BUFFER_HIGH and self._end is None:
            self._channel.start_reading()

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

    async def _read_to_end(self) -> None:
        """Collect the last words of a peer that is gone."""
        try:
            while True:
                await self._wait(_BUFFER_HIGH)
        except MigrationError:
            return


def _nothing() -> None:
    """Nobody has asked to be told."""


def said(message: vmstream.Message) -> MigrationError:
    """Return the error that a peer's last message is about."""
    return MigrationError(f"{_LAST_WORDS[message.code]}{message.body.get('reason')}")


def _last_message(data: bytes) -> vmstream.Message | None:
    """Find a complete last message at the end of what was not read."""
    at = max(data.rfind(vmstream.reply(code, {})[:4]) for code in _LAST_WORDS)
    if at < 0:
        return None
    try:
        return run(vmstream.read_message(BytesReader(data[at:])))
    except WireError:
        return None
