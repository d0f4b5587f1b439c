"""Guest RAM in the stream: pages, and runs of memory that hold data.

QEMU: migration/ram.c (ram_save_setup, save_zero_page, save_normal_page)

One block. Guest RAM is a sparse memfd, so what was never touched is not even looked at:
the destination's RAM starts out as zeroes. A page whose bytes are all zero goes as such.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from qemu_sim.errors import MigrationError
from qemu_sim.wire import vmram, xbzrle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qemu_sim.migration.multifd_receiver import MultifdReceiver
    from qemu_sim.migration.ram_blocks import RamBlocks
    from qemu_sim.migration.stream import Stream
    from qemu_sim.virtio.memory import GuestMemory

PAGE = 4096

_ZERO = 0x02
_MEM_SIZE = 0x04
_PAGE = 0x08
_EOS = 0x10
_CONTINUE = 0x20
_FLAGS = 0xFFF
_BATCH = 128  # pages a write; what a socket takes at once, a few times over
_PLAIN = _PAGE | _CONTINUE
_U64 = struct.Struct(">Q")
_RECORD = struct.Struct(f">Q{PAGE}x")  # a plain page: its header, and the bytes
_MOST_PIECES = 1024  # IOV_MAX
_NOTHING = bytes(PAGE)
END_OF_PART = _U64.pack(_EOS)


def setup(memory: GuestMemory, *, ignore_shared: bool = False) -> bytes:
    """Return the payload that names the block and its size in bytes, up to its end.

    `ignore_shared`: it has the block's guest-physical address, too.
    """
    block = _name(memory) + _U64.pack(memory.size)
    if ignore_shared:
        block += _U64.pack(0)
    return _U64.pack(memory.size | _MEM_SIZE) + block


Pieces = list[bytes | memoryview]


def pages(memory: GuestMemory, extents: Iterable[tuple[int, int]]) -> Iterator[Pieces]:
    """Yield the payload of `extents` (offset, length), some pages at a time.

    What is yielded holds views of memory: it is to be forgotten before memory is closed.
    """
    name = _name(memory)
    for start, length in extents:
        first = start - start % PAGE
        end = min(-(-(start + length) // PAGE) * PAGE, memory.size)
        for at in range(first, end, _BATCH * PAGE):
            yield _some(memory, at, min(at + _BATCH * PAGE, end), name)
            name = b""


def _some(memory: GuestMemory, start: int, end: int, name: bytes) -> Pieces:
    """Return header and content of each page; only the first of all names the block."""
    count = (end - start) // PAGE
    words = range(start | _PLAIN, end | _PLAIN, PAGE)
    headers = memoryview(struct.pack(f">{count}Q", *words))
    with memory.view as view:
        pieces: Pieces = [b""] * (2 * count)
        pieces[0::2] = [headers[at : at + 8] for at in range(0, 8 * count, 8)]
        pieces[1::2] = [view[at : at + PAGE] for at in range(start, end, PAGE)]
        # The first word tells mostly; to look at all of a page takes as long as to copy it.
        with view.cast("Q") as longs:
            first_words = longs[start // 8 : end // 8 : PAGE // 8].tolist()
    for number, word in enumerate(first_words) if 0 in first_words else ():
        if word == 0 and bytes(pieces[2 * number + 1]) == _NOTHING:
            pieces[2 * number : 2 * number + 2] = [_U64.pack(words[number] ^ _PAGE ^ _ZERO), b"\0"]
    if name:
        word = _U64.unpack(pieces[0])[0] ^ _CONTINUE
        pieces[0] = _U64.pack(word) + name
    return pieces


def is_zero(view: memoryview, offset: int) -> bool:
    """Whether all of a page is."""
    return not view[offset] and bytes(view[offset : offset + PAGE]) == _NOTHING


def zero_pages(memory: GuestMemory, offsets: Iterable[int], *, is_first: bool) -> bytes:
    """Return the payload of pages that are zero; the first of all names the block."""
    data = b""
    for offset in offsets:
        if is_first and not data:
            data = _U64.pack(offset | _ZERO) + _name(memory) + b"\0"
        else:
            data += _U64.pack(offset | _ZERO | _CONTINUE) + b"\0"
    return data


def _name(memory: GuestMemory) -> bytes:
    name = memory.name.encode()
    return bytes([len(name)]) + name


async def load(
    stream: Stream, memory: GuestMemory, blocks: RamBlocks, multifd: MultifdReceiver | None = None
) -> None:
    """Read one section's payload into `memory`. Raises MigrationError in QEMU's words."""
    while True:
        if blocks.is_ours:
            _load_pages(stream, memory)
        word = _U64.unpack(await stream.read(8))[0]
        offset, flags = word & ~_FLAGS, word & _FLAGS
        is_end, is_flush = flags & _EOS, flags & vmram.MULTIFD_FLUSH
        if multifd is not None and (is_flush or (is_end and multifd.waits_each_section)):
            await multifd.sync()
        if is_end:
            return
        if is_flush:
            continue
        if flags & _MEM_SIZE:
            await blocks.declare(stream, offset)
            continue
        if not await blocks.enter(stream, flags):
            continue
        await _load_page(stream, memory, offset, flags)


async def _load_page(stream: Stream, memory: GuestMemory, offset: int, flags: int) -> None:
    if offset + PAGE > memory.size:
        raise MigrationError(f"Illegal RAM offset {offset:x}")
    if flags & _ZERO:
        await stream.read(1)
        clear_page(memory, offset)
    elif flags & _PAGE:
        memory.map[offset : offset + PAGE] = await stream.read(PAGE)
    elif flags & vmram.XBZRLE:
        page = memory.map[offset : offset + PAGE]
        memory.map[offset : offset + PAGE] = xbzrle.apply(await vmram.read_delta(stream), page)
    else:
        raise MigrationError(f"Unknown combination of migration flags: 0x{flags:x}")


def _load_pages(stream: Stream, memory: GuestMemory) -> None:
    """Take the plain pages that have arrived, up to the first of another kind."""
    at = 0
    with memoryview(stream.arrived) as data:
        while count := _following(data[at:], memory.size):
            offset = _U64.unpack_from(data, at)[0] - _PLAIN
            starts = range(at + 8, at + count * _RECORD.size, _RECORD.size)
            # Each byte is copied once, and no page is touched before it is whole.
            written = os.pwritev(memory.fd.fileno(), [data[i : i + PAGE] for i in starts], offset)
            if written != count * PAGE:
                raise MigrationError(f"guest RAM took {written} bytes of {count * PAGE}")
            at += count * _RECORD.size
    stream.skip(at)


def _following(data: memoryview, size: int) -> int:
    """Return how many plain pages, one following the other in RAM too, stand at the start."""
    whole = min(len(data) // _RECORD.size, _MOST_PIECES)
    if not whole:
        return 0
    expected = first = _U64.unpack_from(data)[0]
    if first & _FLAGS != _PLAIN:
        return 0
    for (word,) in _RECORD.iter_unpack(data[: whole * _RECORD.size]):
        if word != expected or word >= size:
            break
        expected += PAGE
    return int(expected - first) // PAGE


def clear_page(memory: GuestMemory, offset: int) -> None:
    """Make a page zero."""
    # To write to memory that was never touched, or to read it by the map, would allocate it.
    if os.pread(memory.fd.fileno(), PAGE, offset) != _NOTHING:
        memory.map[offset : offset + PAGE] = _NOTHING
