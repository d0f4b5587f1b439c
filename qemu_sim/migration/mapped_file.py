"""A file whose stream leaves room for what has a place of its own.

QEMU: migration/qemu-file.c (qemu_get_offset, qemu_set_offset, qemu_put_buffer_at)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from qemu_sim.errors import MigrationError
from qemu_sim.io.file import FileChannel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qemu_sim.migration.stream import Stream


_T = TypeVar("_T")


class MappedFile:
    """The file that `stream` is read from, or written to. All offsets are the file's."""

    def __init__(self, stream: Stream) -> None:
        """Raises MigrationError where the stream is not a file's."""
        if not isinstance(stream.channel, FileChannel):
            raise MigrationError("mapped-ram takes a file that has places")
        self._stream = stream
        self._file = stream.channel

    async def tell(self) -> int:
        """Return where the stream goes on."""
        await self._rest()
        return self._file.tell() - len(self._stream.arrived)

    async def seek(self, offset: int) -> None:
        """Let the stream go on at `offset`."""
        await self._rest()
        self._stream.forget_input()
        self._file.seek(offset)

    async def write(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        """Write each of (offset, data), beside the stream. Raises OSError."""
        with self._file.share() as fd:
            await _aside(_write_all, fd.fileno(), pieces)

    async def read(self, offset: int, size: int) -> bytes:
        """Return what lies at `offset`, beside the stream. Raises EOFError if it is not all there.

        Nothing is taken into memory before it is known to be there.
        """
        with self._file.share() as fd:
            if offset + size > os.fstat(fd.fileno()).st_size:
                raise EOFError
            return await _aside(_read_all, fd.fileno(), offset, size)

    async def _rest(self) -> None:
        await self._stream.flush()
        await self._file.rest()


async def _aside(work: Callable[..., _T], *arguments: Any) -> _T:
    """Let a thread of the loop's pool do it, to the end even if nobody waits for it any more."""
    job = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])  # it uses a descriptor that is closed next
        raise


def _write_all(number: int, pieces: Sequence[tuple[int, bytes]]) -> None:
    for offset, data in pieces:
        done = 0
        while done < len(data):
            done += os.pwrite(number, memoryview(data)[done:], offset + done)


def _read_all(number: int, offset: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.pread(number, size - len(data), offset + len(data))
        if not more:
            raise EOFError
        data += more
    return data
