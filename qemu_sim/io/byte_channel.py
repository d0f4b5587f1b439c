"""A channel that carries bytes and no descriptors, one way or both: a pipe, or a file.

QEMU: io/channel-file.c, io/channel-command.c

The interface is a `Channel`'s. What differs between a pipe and a file is how one learns
that more can be read or written; that is left to `PipeChannel` and `FileChannel`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd
from qemu_sim.io.stream import Stream


class ByteChannel(Stream):
    """Bytes in from one descriptor, out to another; either may be missing."""

    carries_fds = False

    def __init__(self, source: Fd | None, sink: Fd | None, name: str = "file") -> None:
        """Take ownership of the descriptor to read and the one to write.

        `name` is what QEMU's errors call it: "Unable to write to `name`: …".
        """
        super().__init__()
        self._source = source
        self._sink = sink
        self.name = name
        self.duplex = source is not None and sink is not None
        self._out: list[memoryview] = []
        self._at_end = False

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

    def shut_down_writing(self) -> None:
        """Tell a reader that nothing follows. What is still queued is lost."""
        if self._sink is not None:
            self._drop_queue()
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
        """Write `_out`, now and later, and tell `_sent` or `_break`."""

    @abstractmethod
    def _stop_writing(self, sink: Fd) -> None:
        """Leave the rest of `_out` unwritten; nothing is said of it."""

    def _received(self, data: bytes) -> None:
        if data:
            self.on_data(data, [])
            return
        self._at_end = True
        self._end_of_input()

    def _sent(self, size: int) -> None:
        self.queued_bytes -= size
        if not self.queued_bytes:
            self._drained.set()

    def _drop_queue(self) -> None:
        if self._sink is not None:
            self._stop_writing(self._sink)
        self._out = []
        self.queued_bytes = 0
        self._drained.set()
