"""Bytes over pipes, FIFOs and whatever else the kernel can poll.

QEMU: io/channel-file.c
"""

from __future__ import annotations

import os

from qemu_sim.fds import Fd
from qemu_sim.io.byte_channel import ByteChannel

_READ_SIZE = 256 * 1024


class PipeChannel(ByteChannel):
    """A pipe to read from, one to write to, or both. They become non-blocking."""

    def __init__(self, source: Fd | None, sink: Fd | None, name: str = "file") -> None:
        """Take ownership of both; `name` as ByteChannel says."""
        super().__init__(source, sink, name)
        self._waiting = False
        for fd in (source, sink):
            if fd is not None:
                os.set_blocking(fd.fileno(), False)

    def _await_input(self, source: Fd) -> None:
        self._loop.add_reader(source.fileno(), self._read, source)

    def _ignore_input(self, source: Fd) -> None:
        self._loop.remove_reader(source.fileno())

    def _read(self, source: Fd) -> None:
        try:
            data = os.read(source.fileno(), _READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        self._received(data)

    def _write(self, sink: Fd) -> None:
        try:
            while self._out:
                sent = os.write(sink.fileno(), self._out[0])
                self._out[0] = self._out[0][sent:]
                if not self._out[0]:
                    del self._out[0]
                self._sent(sent)
        except BlockingIOError:
            if not self._waiting:
                self._waiting = True
                self._loop.add_writer(sink.fileno(), self._write, sink)
        except OSError as error:
            self._break(error)
        else:
            self._stop_writing(sink)

    def _stop_writing(self, sink: Fd) -> None:
        if self._waiting:
            self._waiting = False
            self._loop.remove_writer(sink.fileno())
