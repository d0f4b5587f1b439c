"""Guest RAM in a stream: which blocks there are, and how many of their pages travel how.

QEMU: migration/ram.c (ram_load_precopy, parse_ramblocks, mapped_ram_read_header)

It only counts. A word of 8 bytes is an offset and flags, and says what follows.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

from qemu_sim.errors import WireError
from qemu_sim.wire import vmstream
from qemu_sim.wire.bytes_reader import BytesReader

PAGE = 4096
VERSION = 4

ZERO = 0x02
MEM_SIZE = 0x04
NORMAL = 0x08
EOS = 0x10
CONTINUE = 0x20
XBZRLE = 0x40
MULTIFD_FLUSH = 0x200
FLAGS = PAGE - 1
_CARRIED = {ZERO: "zero pages", NORMAL: "pages", XBZRLE: "deltas"}
_ENCODING_XBZRLE = 1
SORTS = tuple(_CARRIED.values())
"""How a page travels."""
_MOST_BLOCKS = 4096  # a machine has at most 256 DIMMs, and a few for each device
MAPPED_HEAD_SIZE = 28
"""Of what stands behind a block's name and size, where its pages have places in the file."""
_MAPPED_VERSION = 1
_MAPPED_HEAD = struct.Struct(">IQQQ")


class Part(NamedTuple):
    """What one section holds: sizes of blocks in bytes; block and sort to a number of pages."""

    blocks: dict[str, int]
    pages: Counter[tuple[str, str]]


class Ram:
    """Reads RAM from section to section, as the capabilities of the stream have it."""

    def __init__(self, *, ignore_shared: bool, mapped: bool) -> None:
        self._ignore_shared = ignore_shared
        self._mapped = mapped
        self._name = ""

    async def read_part(self, reader: BytesReader) -> Part:
        """Read one section's payload. Raises WireError for what no such stream has."""
        part = Part({}, Counter())
        while True:
            word = await vmstream.read_u64(reader)
            offset, flags = word & ~FLAGS, word & FLAGS
            if flags & MEM_SIZE:
                await self._read_blocks(reader, offset, part)
            carried = flags & (ZERO | NORMAL | XBZRLE)
            if carried:
                await self._read_page(reader, flags, part)
            elif flags & EOS:
                return part
            elif not flags & (MEM_SIZE | MULTIFD_FLUSH):
                raise WireError(f"Unknown combination of migration flags: 0x{flags:x}")

    async def _read_page(self, reader: BytesReader, flags: int, part: Part) -> None:
        if not flags & CONTINUE:
            self._name = await vmstream.read_short_text(reader)
        part.pages[self._name, await skip_page(reader, flags)] += 1

    async def _read_blocks(self, reader: BytesReader, total: int, part: Part) -> None:
        blocks = read_blocks(reader, total, ignore_shared=self._ignore_shared)
        async for name, size in blocks:
            part.blocks[name] = size
            if self._mapped:
                await self._read_mapped(reader, name, size, part)

    async def _read_mapped(self, reader: BytesReader, name: str, size: int, part: Part) -> None:
        """Count the bits of the pages, which have fixed places in the file."""
        bitmap, pages = await read_mapped_head(reader)
        if self._ignore_shared and not (bitmap or pages):
            return
        if not reader.at <= bitmap <= pages:
            raise WireError(f"bitmap of '{name}' at {bitmap}, and pages at {pages}")
        reader.at = bitmap
        present = int.from_bytes(await reader.read(-(-size // PAGE // 8))).bit_count()
        part.pages[name, "pages"] += present
        reader.at = pages + size


class MappedHead(NamedTuple):
    """Where in the file the bitmap of a block is, and where its pages are."""

    bitmap: int
    pages: int


def pack_mapped_head(head: MappedHead) -> bytes:
    """Return what stands behind a block's name and size."""
    return _MAPPED_HEAD.pack(_MAPPED_VERSION, PAGE, *head)


async def read_mapped_head(reader: vmstream.Reader) -> MappedHead:
    """Read what `pack_mapped_head` returned."""
    version, page, bitmap, pages = _MAPPED_HEAD.unpack(await reader.read(_MAPPED_HEAD.size))
    if (version, page) != (_MAPPED_VERSION, PAGE):
        raise WireError(f"mapped RAM of version {version} with pages of {page} bytes")
    return MappedHead(bitmap, pages)


def bitmap_size(size: int) -> int:
    """Return the bytes of the bitmap of a block of `size` bytes: whole longs."""
    return -(-size // PAGE // 64) * 8


async def read_blocks(
    reader: vmstream.Reader, total: int, *, ignore_shared: bool = False
) -> AsyncIterator[tuple[str, int]]:
    """Yield name and size in bytes of blocks, of which there are `total` bytes."""
    count = 0
    while total > 0:
        count += 1
        if count > _MOST_BLOCKS:
            raise WireError(f"more than {_MOST_BLOCKS} blocks of RAM")
        name = await vmstream.read_short_text(reader)
        size = await vmstream.read_u64(reader)
        if not 0 < size <= total:
            raise WireError(f"block '{name}' has {size} of {total} bytes of RAM")
        total -= size
        if ignore_shared:
            await reader.read(8)  # its address in the guest
        yield name, size


async def skip_page(reader: vmstream.Reader, flags: int) -> str:
    """Read what follows the head of a page; returns how it travels, one of SORTS."""
    sort = flags & (ZERO | NORMAL | XBZRLE)
    if sort == XBZRLE:
        await read_delta(reader)
    elif sort in _CARRIED:
        await reader.read(1 if sort == ZERO else PAGE)
    else:
        raise WireError(f"Unknown combination of migration flags: 0x{flags:x}")
    return _CARRIED[sort]


async def read_delta(reader: vmstream.Reader) -> bytes:
    """Read what changed in a page, encoded. Raises WireError in QEMU's words."""
    encoding = await vmstream.read_byte(reader)
    size = await vmstream.read_u16(reader)
    if encoding != _ENCODING_XBZRLE:
        raise WireError("Failed to load XBZRLE page - wrong compression!")
    if size > PAGE:
        raise WireError("Failed to load XBZRLE page - len overflow!")
    return await reader.read(size)
