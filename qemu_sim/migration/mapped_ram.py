"""mapped-ram: each page has its place in the file, so that one sent again is no longer there twice.

QEMU: migration/ram.c (mapped_ram_setup_ramblock, ram_save_file_bmap, parse_ramblock_mapped_ram)

Behind a block's name stands where in the file its bitmap is and where its pages are; the
stream goes on behind these. A page of zeroes has no bit, and is a hole. With multifd QEMU
lets several threads write the same; here it is one, through the page cache, direct-io or not.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from qemu_sim.errors import MigrationError
from qemu_sim.migration import ram
from qemu_sim.migration.mapped_file import MappedFile
from qemu_sim.wire import vmram
from qemu_sim.wire.vmram import PAGE, MappedHead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qemu_sim.migration.stream import Stream
    from qemu_sim.virtio.memory import GuestMemory

_ALIGNMENT = 1 << 20  # MAPPED_RAM_FILE_OFFSET_ALIGNMENT
_MOST = 1 << 20  # bytes that are looked at, or read, at once


class MappedRam:
    """Writes the pages of `memory` into the file of `stream`."""

    def __init__(self, memory: GuestMemory, stream: Stream, *, left_out: bool = False) -> None:
        """`left_out`: no page is written. Raises MigrationError where it is no file."""
        self._left_out = left_out
        self._memory = memory
        self._stream = stream
        self._file = MappedFile(stream)
        self._head = MappedHead(0, 0)
        self._bitmap = bytearray(vmram.bitmap_size(memory.size))

    async def begin(self) -> bytes:
        """Write where bitmap and pages are, behind what names the block; nothing more to say."""
        if self._left_out:
            return vmram.pack_mapped_head(self._head)
        bitmap = await self._file.tell() + vmram.MAPPED_HEAD_SIZE
        pages = -(-(bitmap + len(self._bitmap)) // _ALIGNMENT) * _ALIGNMENT
        self._head = MappedHead(bitmap, pages)
        self._stream.write(vmram.pack_mapped_head(self._head))
        await self._file.seek(pages + self._memory.size)
        return b""

    async def send(self, extents: Iterable[tuple[int, int]]) -> bytes:
        """Write the pages of `extents` (offset, length); the stream has nothing to say of it."""
        for start, end in _pieces(extents, self._memory.size):
            data = os.pread(self._memory.fd.fileno(), end - start, start)
            place = self._head.pages + start
            await self._file.write([(place + at, run) for at, run in self._runs(data, start)])
        if extents:
            await self._file.write([(self._head.bitmap, bytes(self._bitmap))])
        return b""

    def _runs(self, data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
        """Mark which pages are not zero; yield where in `data` they are, neighbours together."""
        with memoryview(data) as view:
            there = [not ram.is_zero(view, at) for at in range(0, len(data), PAGE)]
        for number, is_there in enumerate(there, start // PAGE):
            bit = 1 << number % 8
            self._bitmap[number // 8] &= ~bit
            self._bitmap[number // 8] |= bit * is_there
        at = 0
        for is_there, neighbours in itertools.groupby(there):
            size = sum(1 for _ in neighbours) * PAGE
            if is_there:
                yield at, data[at : at + size]
            at += size


async def load_block(stream: Stream, size: int, memory: GuestMemory | None) -> int:
    """Load a block of `size` bytes, which is not ours where `memory` is None.

    Returns how many pages there are. Raises MigrationError in QEMU's words.
    """
    head = await vmram.read_mapped_head(stream)
    if head.pages % PAGE:
        raise MigrationError("Error reading ramblock pages, region has bad alignment")
    if not head.pages:  # left out, as RAM that is shared
        return 0
    file = MappedFile(stream)
    try:
        bitmap = await file.read(head.bitmap, vmram.bitmap_size(size))
    except EOFError:
        raise MigrationError("Error reading dirty bitmap") from None
    if memory is not None:
        await _load_pages(file, head.pages, memory, bitmap)
    await file.seek(head.pages + size)
    return int.from_bytes(bitmap).bit_count()


async def _load_pages(file: MappedFile, place: int, memory: GuestMemory, bitmap: bytes) -> None:
    for start, end in _pieces(_present(bitmap), memory.size):
        try:
            data = await file.read(place + start, end - start)
        except EOFError:
            raise MigrationError(
                f"({memory.name}) failed to read page {start:x} from file offset {place + start:x}"
            ) from None
        os.pwrite(memory.fd.fileno(), data, start)


def _present(bitmap: bytes) -> Iterator[tuple[int, int]]:
    """Yield offset and length of what has bits, neighbours together."""
    at = 0
    for is_there, neighbours in itertools.groupby(_bits(bitmap)):
        size = sum(1 for _ in neighbours) * PAGE
        if is_there:
            yield at, size
        at += size


def _bits(bitmap: bytes) -> Iterator[int]:
    for byte in bitmap:
        for number in range(8):
            yield byte >> number & 1


def _pieces(extents: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of parts that are whole pages, and not too large to take at once."""
    for start, length in extents:
        first = start - start % PAGE
        end = min(-(-(start + length) // PAGE) * PAGE, size)
        for at in range(first, end, _MOST):
            yield at, min(at + _MOST, end)
