"""Bytes from and to files that the kernel cannot poll: regular files, disks, /dev/null.

QEMU: io/channel-file.c

Reading or writing such a file never says "later": it blocks, for as long as the disk
takes. So each piece is read or written by a thread of the event loop's pool, one at a
time, while the loop serves everybody else.
"""

from __future__ import annotations

import asyncio
import errno
import os

from qemu_sim.fds import Fd
from qemu_sim.io.byte_channel import ByteChannel

_READ_SIZE = 1 << 20


class FileChannel(ByteChannel):
    """A file read or written from its present position on."""

    _job: asyncio.Future[bytes] | None = None  # of the thread that reads

    async def rest(self) -> None:
        """Pause reading, and wait until all that was begun is done. Raises what broke it."""
        self.pause_reading()
        if self._job is not None:
            await asyncio.wait([self._job])
        await self.drain()

    def tell(self) -> int:
        """Return the present position, at rest."""
        return os.lseek(self._fd.fileno(), 0, os.SEEK_CUR)

    def seek(self, offset: int) -> None:
        """Go on at another position, at rest."""
        os.lseek(self._fd.fileno(), offset, os.SEEK_SET)
        self._at_end = False

    def share(self) -> Fd:
        """Return a duplicate of the descriptor."""
        return self._fd.share()

    @property
    def _fd(self) -> Fd:
        fd = self._source or self._sink
        if fd is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return fd

    def _await_input(self, source: Fd) -> None:
        if self._job is None:
            self._job = self._loop.run_in_executor(None, _read, source.share())
            self._job.add_done_callback(self._read_done)

    def _ignore_input(self, source: Fd) -> None:
        """What the thread has begun to read still comes."""

    def _read_done(self, job: asyncio.Future[bytes]) -> None:
        self._job = None
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
