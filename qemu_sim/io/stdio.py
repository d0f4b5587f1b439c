"""Standard input and output as one stream of bytes, for `-qmp stdio`.

QEMU: chardev/char-stdio.c

The two descriptors stay blocking, because O_NONBLOCK would belong to the open files,
which a terminal shares with the shell. Nothing blocks all the same: it is read when
there is something, and written in pieces that a pipe which polls writable has room for.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable, Sequence

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd
from qemu_sim.io.stream import refuse_data

_READ_SIZE = 64 * 1024


class StdioChannel:
    """Bytes in from one descriptor, out to another; the interface is a Channel's.

    The end of the input ends nothing: what was asked is answered, and events go on, as in
    QEMU. So `on_close` is never called.
    """

    carries_fds = False

    def __init__(self, source: Fd, sink: Fd) -> None:
        """Take ownership of the descriptor to read from and the one to write to."""
        self._source = source
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._out = bytearray()
        self._drained = asyncio.Event()
        self._drained.set()
        self._reading = self._watched = self._at_end = False
        self.on_data: Callable[[bytes, list[Fd]], None] = refuse_data
        self.on_close: Callable[[Exception | None], None] = lambda _: None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._sink.closed

    @property
    def queued_bytes(self) -> int:
        """Bytes sent but not written yet."""
        return len(self._out)

    def start_reading(self) -> None:
        """Deliver what arrives from now on."""
        if self._reading or self._at_end or self.closed:
            return
        self._reading = True
        try:
            self._loop.add_reader(self._source.fileno(), self._readable)
            self._watched = True
        except PermissionError:  # a regular file cannot be polled, and is always readable
            self._loop.call_soon(self._read_file)

    def pause_reading(self) -> None:
        """Leave what arrives where it is until `start_reading`."""
        self._reading = False
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._source.fileno())

    def send(self, data: bytes | memoryview, fds: Sequence[Fd] = ()) -> None:
        """Write `data` in order. Raises WireError for descriptors."""
        if fds:
            raise WireError("cannot send descriptors over standard output")
        if self.closed:
            return
        self._out += data
        self._write()

    async def drain(self) -> None:
        """Wait until all that was sent is written."""
        await self._drained.wait()

    def close(self) -> None:
        """End the stream; what is still queued is lost."""
        if self.closed:
            return
        self.pause_reading()
        self._lose_output()
        self._source.close()
        self._sink.close()

    def _readable(self) -> None:
        try:
            data = os.read(self._source.fileno(), _READ_SIZE)
        except OSError:  # a directory, a terminal that hung up
            data = b""
        if data:
            self.on_data(data, [])
        else:
            self.pause_reading()
            self._at_end = True

    def _read_file(self) -> None:
        if self._reading:
            self._readable()
        if self._reading:
            self._loop.call_soon(self._read_file)

    def _write(self) -> None:
        try:
            while self._out and self._writable():
                sent = os.write(self._sink.fileno(), self._out[: select.PIPE_BUF])
                del self._out[:sent]
        except OSError:  # nobody reads any more, or the disk is full; the input may go on
            self._lose_output()
            return
        if not self._out:
            self._lose_output()
        elif self._drained.is_set():
            self._drained.clear()
            self._loop.add_writer(self._sink.fileno(), self._write)

    def _writable(self) -> bool:
        poll = select.poll()
        poll.register(self._sink.fileno(), select.POLLOUT)
        return bool(poll.poll(0))

    def _lose_output(self) -> None:
        self._out.clear()
        if not self._drained.is_set():
            self._drained.set()
            self._loop.remove_writer(self._sink.fileno())
