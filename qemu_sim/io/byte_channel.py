"""A channel that carries bytes and no descriptors, one way or both: a pipe, or a file.

QEMU: io/channel-file.c, io/channel-command.c

The interface is a `Channel`'s. What differs between a pipe and a file is how one learns
that more can be read or written; that is left to `PipeChannel` and `FileChannel`.
"""

from __future__ import annotations

import asyncio
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd, close_all


class ByteChannel(ABC):
    """Bytes in from one descriptor, out to another; either may be missing.

    `on_data(data, [])` is called for each read, `on_close(error)` once: None at the end of
    what can be read, else what broke the channel. Neither is called after `close`.
    """

    carries_fds = False

    def __init__(self, source: Fd | None, sink: Fd | None, name: str = "file") -> None:
        """Take ownership of the descriptor to read and the one to write.

        `name` is what QEMU's errors call it: "Unable to write to `name`: …".
        """
        self._source = source
        self._sink = sink
        self.name = name
        self.duplex = source is not None and sink is not None
        self.half_open = False  # whether it may still be written to when its input ended
        self.closed = False
        self.on_data: Callable[[bytes, list[Fd]], None] = _refuse_data
        self.on_close: Callable[[Exception | None], None] = _ignore_close
        self.queued_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._out: list[memoryview] = []
        self._drained = asyncio.Event()
        self._drained.set()
        self._reading = self._at_end = False
        self._error: Exception | None = None

    @property
    def broken(self) -> bool:
        """Whether what is sent is lost; `drain` raises why."""
        return self._error is not None

    def start_reading(self) -> None:
        """Deliver what arrives from now on. Nothing happens where nothing can be read."""
        if self._source is None or self._reading or self._at_end or self.closed:
            return
        self._reading = True
        self._await_input(self._source)

    def pause_reading(self) -> None:
        """Deliver nothing that is not on its way yet, until `start_reading`."""
        if self._source is not None and self._reading:
            self._reading = False
            self._ignore_input(self._source)

    def send(self, data: bytes | memoryview, fds: Sequence[Fd] = ()) -> None:
        """Send `data` in order. Raises WireError for descriptors, and where nothing can be sent.

        Data for a broken channel is dropped: `drain` and `on_close` tell.
        """
        if fds or (self._sink is None and not self.closed):
            raise WireError(f"a {self.name} carries no descriptors, and this one may be read-only")
        if self._sink is None or self._error is not None:
            return
        idle = not self._out
        self._out.append(memoryview(bytes(data)))  # the caller may reuse its buffer
        self.queued_bytes += len(data)
        self._drained.clear()
        if idle:
            self._write(self._sink)

    def send_pieces(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Send `pieces` one after the other, as if they were one."""
        self.send(b"".join(pieces))

    async def drain(self) -> None:
        """Wait until all that was sent is with the kernel. Raises what broke the channel."""
        await self._drained.wait()
        if self._error is not None:
            raise self._error

    def shut_down_writing(self) -> None:
        """Tell a reader that nothing follows. What is still queued is lost."""
        if self._sink is not None:
            self._drop_queue(self._sink)
            self._sink.close()
            self._sink = None

    def close(self) -> None:
        """End the channel; what is still queued is lost."""
        if self.closed:
            return
        self.pause_reading()
        self.shut_down_writing()
        self.closed = True
        if self._source is not None:
            self._source.close()

    @abstractmethod
    def _await_input(self, source: Fd) -> None:
        """See to it that `_received` or `_fail` is called, until `_ignore_input`."""

    @abstractmethod
    def _ignore_input(self, source: Fd) -> None:
        """Undo `_await_input`."""

    @abstractmethod
    def _write(self, sink: Fd) -> None:
        """Write `_out`, now and later, and tell `_sent` or `_write_failed`."""

    @abstractmethod
    def _stop_writing(self, sink: Fd) -> None:
        """Leave the rest of `_out` unwritten; nothing is said of it."""

    def _received(self, data: bytes) -> None:
        if data:
            self.on_data(data, [])
            return
        self._at_end = True
        if self.half_open and self._error is None:
            self.pause_reading()
            self.on_close(None)
        else:
            self._fail(self._error)

    def _sent(self, size: int) -> None:
        self.queued_bytes -= size
        if not self.queued_bytes:
            self._drained.set()

    def _write_failed(self, error: Exception) -> None:
        """Remember what broke the writing side; `on_close` is never called from `send`.

        A reader goes on: the other end's last words may still be on their way.
        """
        self._error = error
        if self._sink is not None:
            self._drop_queue(self._sink)
        if not self._reading:
            self._loop.call_soon(self._fail, error)

    def _drop_queue(self, sink: Fd) -> None:
        self._stop_writing(sink)
        self._out = []
        self.queued_bytes = 0
        self._drained.set()

    def _fail(self, error: Exception | None) -> None:
        if self.closed:
            return
        self._error = error or BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self.close()
        self.on_close(error)


def _refuse_data(data: bytes, fds: list[Fd]) -> None:
    close_all(fds)
    raise AssertionError(f"{len(data)} bytes arrived before on_data was set")


def _ignore_close(error: Exception | None) -> None:
    """Nobody has asked to be told."""
