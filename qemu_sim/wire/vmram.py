"""Guest RAM in a stream: which blocks there are, and how many of their pages travel how.

QEMU: migration/ram.c (ram_load_precopy, parse_ramblocks, mapped_ram_read_header)

It only counts. A word of 8 bytes is an offset and flags, and says what follows.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import NamedTuple

from qemu_sim.errors import WireError
from qemu_sim.wire import vmstream
from qemu_sim.wire.bytes_reader import BytesReader

PAGE = 4096
VERSION = 4

_ZERO = 0x02
_MEM_SIZE = 0x04
_PAGE = 0x08
_EOS = 0x10
_CONTINUE = 0x20
_XBZRLE = 0x40
_MULTIFD_FLUSH = 0x200
_FLAGS = PAGE - 1
_CARRIED = {_ZERO: "zero pages", _PAGE: "pages", _XBZRLE: "deltas"}
SORTS = tuple(_CARRIED.values())
"""How a page travels."""
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
            offset, flags = word & ~_FLAGS, word & _FLAGS
            if flags & _MEM_SIZE:
                await self._read_blocks(reader, offset, part)
            carried = flags & (_ZERO | _PAGE | _XBZRLE)
            if carried:
                await self._read_page(reader, flags, part)
            elif flags & _EOS:
                return part
            elif not flags & (_MEM_SIZE | _MULTIFD_FLUSH):
                raise WireError(f"Unknown combination of migration flags: 0x{flags:x}")

    async def _read_page(self, reader: BytesReader, flags: int, part: Part) -> None:
        if not flags & _CONTINUE:
            self._name = await vmstream.read_short_text(reader)
        sort = flags & (_ZERO | _PAGE | _XBZRLE)
        if sort not in _CARRIED:
            raise WireError(f"Unknown combination of migration flags: 0x{flags:x}")
        if sort == _XBZRLE:
            await reader.read(1)
            await reader.read(await vmstream.read_u16(reader))
        else:
            await reader.read(1 if sort == _ZERO else PAGE)
        part.pages[self._name, _CARRIED[sort]] += 1

    async def _read_blocks(self, reader: BytesReader, total: int, part: Part) -> None:
        while total > 0:
            name = await vmstream.read_short_text(reader)
            size = await vmstream.read_u64(reader)
            if not 0 < size <= total:
                raise WireError(f"block '{name}' has {size} of {total} bytes of RAM")
            part.blocks[name] = size
            total -= size
            if self._ignore_shared:
                await reader.read(8)  # its address in the guest
            if self._mapped:
                await self._read_mapped(reader, name, size, part)

    async def _read_mapped(self, reader: BytesReader, name: str, size: int, part: Part) -> None:
        """Count the bits of the pages, which have fixed places in the file."""
        head = _MAPPED_HEAD.unpack(await reader.read(_MAPPED_HEAD.size))
        version, page, bitmap, pages = head
        if (version, page) != (_MAPPED_VERSION, PAGE):
            raise WireError(f"mapped RAM of version {version} with pages of {page} bytes")
        if self._ignore_shared and not (bitmap or pages):
            return
        if not reader.at <= bitmap <= pages:
            raise WireError(f"bitmap of '{name}' at {bitmap}, and pages at {pages}")
        reader.at = bitmap
        present = int.from_bytes(await reader.read(-(-size // PAGE // 8))).bit_count()
        part.pages[name, "pages"] += present
        reader.at = pages + size
