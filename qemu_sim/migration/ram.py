"""Guest RAM in the stream: pages, and runs of memory that hold data.

QEMU: migration/ram.c (ram_save_setup, save_zero_page, save_normal_page)

One block. Guest RAM is a sparse memfd, so what was never touched is not even looked at:
the destination's RAM starts out as zeroes. A page whose bytes are all zero goes as such.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from qemu_sim.errors import MigrationError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable, Iterator

    from qemu_sim.migration.stream import Stream
    from qemu_sim.virtio.memory import GuestMemory

PAGE = 4096
BLOCK = b"pc.ram"

_ZERO = 0x02
_MEM_SIZE = 0x04
_PAGE = 0x08
_EOS = 0x10
_CONTINUE = 0x20
_FLAGS = 0xFFF
_BATCH = 256  # pages a write
_U64 = struct.Struct(">Q")
_NOTHING = bytes(PAGE)
END_OF_PART = _U64.pack(_EOS)


def setup(memory: GuestMemory) -> bytes:
    """Return the payload that names the block and its size in bytes."""
    name = bytes([len(BLOCK)]) + BLOCK
    return _U64.pack(memory.size | _MEM_SIZE) + name + _U64.pack(memory.size) + END_OF_PART


def pages(memory: GuestMemory, extents: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Yield the payload of `extents` (offset, length) in pieces of up to 1 MiB."""
    name = bytes([len(BLOCK)]) + BLOCK
    for start, length in extents:
        first = start - start % PAGE
        end = min(-(-(start + length) // PAGE) * PAGE, memory.size)
        for at in range(first, end, _BATCH * PAGE):
            yield _piece(memory, at, min(at + _BATCH * PAGE, end), name)
            name = b""


def _piece(memory: GuestMemory, start: int, end: int, name: bytes) -> bytes:
    parts: list[bytes | memoryview] = []
    with memoryview(memory.map) as view:
        for offset in range(start, end, PAGE):
            parts += _page(offset, view[offset : offset + PAGE], name)
            name = b""
        return b"".join(parts)


def _page(offset: int, page: memoryview, name: bytes) -> list[bytes | memoryview]:
    again = 0 if name else _CONTINUE
    if page == _NOTHING:
        return [_U64.pack(offset | _ZERO | again), name, b"\0"]
    return [_U64.pack(offset | _PAGE | again), name, page]


async def load(stream: Stream, memory: GuestMemory) -> None:
    """Read one section's payload into `memory`. Raises MigrationError in QEMU's words."""
    view = memory.map
    while True:
        word = _U64.unpack(await stream.read(8))[0]
        offset, flags = word & ~_FLAGS, word & _FLAGS
        if flags & _EOS:
            return
        if flags & _MEM_SIZE:
            await _load_blocks(stream, memory, offset)
            continue
        if not flags & _CONTINUE:
            await _load_name(stream)
        if offset + PAGE > memory.size:
            raise MigrationError(f"Illegal RAM offset {offset:x}")
        if flags & _ZERO:
            await _load_zero(stream, view, offset)
        elif flags & _PAGE:
            view[offset : offset + PAGE] = await stream.read(PAGE)
        else:
            raise MigrationError(f"Unknown combination of migration flags: 0x{flags:x}")


async def _load_zero(stream: Stream, view: mmap.mmap, offset: int) -> None:
    await stream.read(1)
    # Writing zeroes to untouched memory would allocate it.
    if view[offset : offset + PAGE] != _NOTHING:
        view[offset : offset + PAGE] = _NOTHING


async def _load_blocks(stream: Stream, memory: GuestMemory, total: int) -> None:
    await _load_name(stream)
    size = _U64.unpack(await stream.read(8))[0]
    if not size == total == memory.size:
        raise MigrationError(
            f"Size mismatch: {BLOCK.decode()}: 0x{size:x} != 0x{memory.size:x}: Invalid argument"
        )


async def _load_name(stream: Stream) -> None:
    name = await stream.read((await stream.read(1))[0])
    if name != BLOCK:
        raise MigrationError(
            f'Unknown ramblock "{name.decode(errors="replace")}", cannot accept migration'
        )
