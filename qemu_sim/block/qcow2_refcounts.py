"""How often each cluster of a qcow2 image's file is used; those that are not may be taken.

QEMU: block/qcow2-refcount.c; docs/interop/qcow2.rst (host cluster management)

A refcount has 1 to 64 bits. One block of them is a cluster; a table says where blocks are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Protocol

from qemu_sim.block.qcow2_entry import OFFSET, SIZE
from qemu_sim.block.qcow2_header import DIRTY, Header
from qemu_sim.errors import QMPError

_TABLE_AT = 48  # of the table's offset and clusters in the header
_PLACE = struct.Struct(">QI")
_ENTRY = struct.Struct(">Q")
_MAX_TABLE = 8 << 20  # bytes; QCOW_MAX_REFTABLE_SIZE
_BYTE = 8  # bits
_INVALID = "Invalid argument"


class Storage(Protocol):
    """The file below."""

    @property
    def size(self) -> int:
        """Bytes in the file."""

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the file."""

    def write(self, offset: int, data: bytes) -> None:
        """Store bytes in the file."""


class Image(Protocol):
    """An image that is open."""

    @property
    def child(self) -> Storage:
        """The file below."""

    @property
    def header(self) -> Header:
        """What the image's header says now."""

    def read_header(self) -> None:
        """Learn what was written to the header."""


class Refcounts:
    """The refcounts of `image`."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._free = 0  # no cluster before it is free
        self._taken = 0  # nor any in front of it behind the end of the file

    def look(self, numbers: Iterable[int]) -> dict[int, int]:
        """Return the refcount of each cluster."""
        found = {}
        for index, members in self._by_block(numbers).items():
            block, part = self._block(index), self._part(members)
            data = self._image.child.read(block + part.start, len(part)) if block else b""
            for number in members:
                found[number] = self._get(data, self._place(number, part)) if block else 0
        return found

    def change(self, uses: Mapping[int, int], by: int) -> None:
        """Add `by` times `uses[number]` to the refcount of each cluster.

        Raises QMPError in QEMU's words, and changes nothing, where one gets too large.
        """
        by_block = self._by_block(uses)
        for index in by_block:
            if not self._block(index):
                self._make_block(index)
        changed = {}
        for index, members in by_block.items():
            part = self._part(members)
            start = self._block(index) + part.start
            data = bytearray(self._image.child.read(start, len(part)))
            for number in members:
                if not self._add(data, self._place(number, part), by * uses[number]):
                    self._free = min(self._free, number)
            changed[start] = data
        for start, data in changed.items():
            self._image.child.write(start, bytes(data))

    def allocate(self, count: int = 1) -> int:
        """Take `count` clusters in a row; returns the offset of the first."""
        first = self._find_free(count)
        self._taken = first + count
        self.change(dict.fromkeys(range(first, first + count), 1), 1)
        self._taken = 0
        if count == 1 or first == self._free:
            self._free = first + count
        return first * self._cluster

    def free(self, offset: int, length: int) -> None:
        """Give back the clusters of a table that is no longer used."""
        first = offset // self._cluster
        count = -(-length // self._cluster)
        self.change(dict.fromkeys(range(first, first + count), 1), -1)

    @property
    def _cluster(self) -> int:
        return self._image.header.cluster

    @property
    def _bits(self) -> int:
        return 1 << self._image.header.refcount_order

    @property
    def _per_block(self) -> int:
        return self._cluster * _BYTE // self._bits

    @property
    def _end(self) -> int:
        """The first cluster behind all that is in use."""
        return max(-(-self._image.child.size // self._cluster), self._taken)

    def _by_block(self, numbers: Iterable[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for number in numbers:
            found.setdefault(number // self._per_block, []).append(number)
        return found

    def _part(self, numbers: Iterable[int]) -> range:
        """Return which bytes of a block hold the refcounts of these clusters, and of some more."""
        places = [number % self._per_block for number in numbers]
        first, last = (place * self._bits // _BYTE for place in (min(places), max(places)))
        return range(first, last + max(self._bits // _BYTE, 1))

    def _place(self, number: int, part: range) -> int:
        """Return which refcount of those in `part` a cluster's is."""
        return number % self._per_block - part.start * _BYTE // self._bits

    def _get(self, data: bytes | bytearray, place: int) -> int:
        bits = self._bits
        if bits >= _BYTE:
            size = bits // _BYTE
            return int.from_bytes(data[place * size : (place + 1) * size], "big")
        return data[place * bits // _BYTE] >> place * bits % _BYTE & ((1 << bits) - 1)

    def _add(self, data: bytearray, place: int, change: int) -> int:
        """Change a refcount; returns what it is then."""
        bits = self._bits
        count = self._get(data, place) + change
        if not 0 <= count < 1 << bits:
            raise QMPError(_INVALID)
        if bits >= _BYTE:
            size = bits // _BYTE
            data[place * size : (place + 1) * size] = count.to_bytes(size, "big")
            return count
        at, shift = place * bits // _BYTE, place * bits % _BYTE
        data[at] = data[at] & ~(((1 << bits) - 1) << shift) | count << shift
        return count

    def _find_free(self, count: int) -> int:
        """Return the first of `count` free clusters in a row."""
        # Of an image that was not closed the refcounts may be too low.
        number = self._end if self._image.header.incompatible & DIRTY else self._free
        run = 0
        while run < count:
            index, place = divmod(number, self._per_block)
            block = self._block(index)
            if not block:
                return max(number - run, self._end)
            data = self._image.child.read(block, self._cluster)
            while run < count and place < self._per_block:
                run = 0 if self._get(data, place) else run + 1
                place += 1
            number = index * self._per_block + place
        return number - run

    def _block(self, index: int) -> int:
        """Return where in the file a block is, 0 if there is none."""
        header = self._image.header
        if index >= header.refcount_clusters * self._cluster // SIZE:
            return 0
        data = self._image.child.read(header.refcount_offset + index * SIZE, SIZE)
        return int(_ENTRY.unpack(data)[0]) & OFFSET

    def _make_block(self, index: int) -> None:
        if index >= self._image.header.refcount_clusters * self._cluster // SIZE:
            self._grow_table(index + 1)
            if self._block(index):  # made for the table itself
                return
        number = self._end
        self._image.child.write(number * self._cluster, bytes(self._cluster))
        slot = self._image.header.refcount_offset + index * SIZE
        self._image.child.write(slot, _ENTRY.pack(number * self._cluster))
        self.change({number: 1}, 1)

    def _grow_table(self, entries: int) -> None:
        """Move the table to where it has room for half as much again."""
        header, cluster, first = self._image.header, self._cluster, self._end
        if entries * SIZE > _MAX_TABLE:
            raise QMPError("File too large")
        count = -(-entries * 3 // 2 * SIZE // cluster)
        old_size = header.refcount_clusters * cluster
        table = self._image.child.read(header.refcount_offset, old_size)
        self._image.child.write(first * cluster, table.ljust(count * cluster, b"\0"))
        self._image.child.write(_TABLE_AT, _PLACE.pack(first * cluster, count))
        self._image.read_header()
        self.change(dict.fromkeys(range(first, first + count), 1), 1)
        self.free(header.refcount_offset, old_size)
