"""Bytes from and to files that the kernel cannot poll: regular files, disks, /dev/null.

QEMU: io/channel-file.c

Reading or writing such a file never says "later": it blocks, for as long as the disk
takes. So each piece is read or written by a thread of the event loop's pool, one at a
time, while the loop serves everybody else.
"""

from __future__ import annotations

import asyncio
import os

from qemu_sim.fds import Fd
from qemu_sim.io.byte_channel import ByteChannel

_READ_SIZE = 1 << 20


class FileChannel(ByteChannel):
    """A file read or written from its present position on."""

    _busy = False  # whether a thread reads

    def _await_input(self, source: Fd) -> None:
        if not self._busy:
            self._busy = True
            job = self._loop.run_in_executor(None, _read, source.share())
            job.add_done_callback(self._read_done)

    def _ignore_input(self, source: Fd) -> None:
        """What the thread has begun to read still comes."""

    def _read_done(self, job: asyncio.Future[bytes]) -> None:
        self._busy = False
        if self.closed or job.cancelled():
            return
        error = job.exception()
        if isinstance(error, Exception):
            self._fail(error)
            return
        self._received(job.result())
        if self._reading and self._source is not None and not self._at_end:
            self._await_input(self._source)

    def _write(self, sink: Fd) -> None:
        job = self._loop.run_in_executor(None, _write, sink.share(), list(self._out))
        job.add_done_callback(self._write_done)

    def _stop_writing(self, sink: Fd) -> None:
        """What the thread has begun to write is still written."""

    def _write_done(self, job: asyncio.Future[list[memoryview]]) -> None:
        if self._sink is None or self._error is not None or job.cancelled():
            return
        error = job.exception()
        if isinstance(error, Exception):
            self._break(error)
            return
        written = job.result()
        del self._out[: len(written)]
        self._sent(sum(map(len, written)))
        if self._out:
            self._write(self._sink)


# Each job has a descriptor of its own, so that a channel can be closed meanwhile.


def _read(fd: Fd) -> bytes:
    with fd:
        return os.read(fd.fileno(), _READ_SIZE)


def _write(fd: Fd, pieces: list[memoryview]) -> list[memoryview]:
    with fd:
        for piece in pieces:
            rest = piece
            while rest:
                rest = rest[os.write(fd.fileno(), rest) :]
    return pieces
