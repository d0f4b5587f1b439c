"""The data of a qcow2 image, cluster by cluster.

QEMU: block/qcow2-cluster.c, block/qcow2-refcount.c; docs/interop/qcow2.rst

A new cluster goes to the end of the file. What such an image may have beside plain
clusters (compressed ones, subclusters, shared ones below a snapshot) is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from qemu_sim.block.qcow2_header import EXTENDED_L2, Header
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from collections.abc import Callable

_COPIED = 1 << 63
_COMPRESSED = 1 << 62
_ZERO = 1
_OFFSET = ((1 << 56) - 1) & ~((1 << 9) - 1)
_ENTRY = struct.Struct(">Q")
_COUNT = struct.Struct(">H")
_PLAIN_ORDER = 4  # refcounts of 16 bits


class Storage(Protocol):
    """The file below."""

    @property
    def size(self) -> int:
        """Bytes in the file."""

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the file."""

    def write(self, offset: int, data: bytes) -> None:
        """Store bytes in the file."""


class Clusters:
    """Where the guest's clusters are in the file."""

    def __init__(self, storage: Storage, header: Header) -> None:
        self._file = storage
        self._header = header
        self._cluster = header.cluster
        self._per_table = header.cluster // _ENTRY.size

    def read(self, offset: int, length: int, below: Callable[[int, int], bytes]) -> bytes:
        """Return guest data; `below(offset, length)` provides what the image does not hold."""
        parts = []
        for at, inside, count in self._pieces(offset, length):
            entry = self._find(at)
            if entry & _ZERO:
                parts.append(bytes(count))
            elif entry & _OFFSET:
                parts.append(self._file.read((entry & _OFFSET) + inside, count))
            else:
                parts.append(below(at * self._cluster + inside, count))
        return b"".join(parts)

    def write(self, offset: int, data: bytes, below: Callable[[int, int], bytes]) -> None:
        """Store guest data; a new cluster is filled up from `below`."""
        done = 0
        for at, inside, count in self._pieces(offset, len(data)):
            piece = data[done : done + count]
            done += count
            entry = self._find(at)
            if entry & _OFFSET and not entry & _ZERO:
                self._check_own(entry)
                self._file.write((entry & _OFFSET) + inside, piece)
                continue
            start = at * self._cluster
            full = bytes(self._cluster) if entry & _ZERO else below(start, self._cluster)
            self._append(at, full[:inside] + piece + full[inside + count :])

    def move_l1(self, size: int) -> int:
        """Write an L1 table of `size` entries to the end of the file; returns its offset."""
        header = self._header
        old = self._file.read(header.l1_offset, header.l1_size * _ENTRY.size)
        count = -(-size * _ENTRY.size // self._cluster)
        offset = -(-self._file.size // self._cluster) * self._cluster
        self._file.write(offset, old.ljust(count * self._cluster, b"\0"))
        for number in range(count):
            self._count(offset // self._cluster + number)
        return offset

    def free(self, offset: int, length: int) -> None:
        """Give back the file's clusters of a table that is no longer used."""
        first = offset // self._cluster
        for number in range(first, first + -(-length // self._cluster)):
            self._count(number, 0)

    def holds(self, offset: int, length: int) -> bool:
        """Whether the image itself says what any of these bytes are."""
        return any(self._find(at) & (_OFFSET | _ZERO) for at, _, _ in self._pieces(offset, length))

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Split a range: number of the guest's cluster, offset in it, bytes."""
        end = offset + length
        while offset < end:
            at, inside = divmod(offset, self._cluster)
            count = min(self._cluster - inside, end - offset)
            yield at, inside, count
            offset += count

    def _find(self, at: int) -> int:
        """Return the L2 entry of a guest's cluster, 0 where there is no table."""
        if self._header.incompatible & EXTENDED_L2:
            raise QMPError("copying qcow2 subclusters is not simulated by qemu-sim")
        index, place = divmod(at, self._per_table)
        if index >= self._header.l1_size:
            return 0
        table = self._entry(self._header.l1_offset + index * _ENTRY.size) & _OFFSET
        entry = self._entry(table + place * _ENTRY.size) if table else 0
        if entry & _COMPRESSED:
            raise QMPError("copying compressed qcow2 clusters is not simulated by qemu-sim")
        return entry

    def _append(self, at: int, data: bytes) -> None:
        index, place = divmod(at, self._per_table)
        slot = self._header.l1_offset + index * _ENTRY.size
        table = self._entry(slot)
        if table & _OFFSET:
            self._check_own(table)
        else:
            table = self._allocate(bytes(self._cluster)) | _COPIED
            self._put(slot, table)
        self._put((table & _OFFSET) + place * _ENTRY.size, self._allocate(data) | _COPIED)

    def _allocate(self, data: bytes) -> int:
        """Return the offset of a new cluster that holds `data`."""
        offset = -(-self._file.size // self._cluster) * self._cluster
        self._file.write(offset, data.ljust(self._cluster, b"\0"))
        self._count(offset // self._cluster)
        return offset

    def _count(self, number: int, references: int = 1) -> None:
        """Set the refcount of the file's cluster `number`."""
        if self._header.refcount_order != _PLAIN_ORDER:
            raise QMPError(
                "writing qcow2 with other than 16-bit refcounts is not simulated by qemu-sim"
            )
        index, place = divmod(number, self._cluster // _COUNT.size)
        if index >= self._header.refcount_clusters * self._per_table:
            raise QMPError("growing a qcow2 image's refcount table is not simulated by qemu-sim")
        slot = self._header.refcount_offset + index * _ENTRY.size
        block = self._entry(slot)
        if not block:
            # The new block is at the end, and counts itself.
            block = -(-self._file.size // self._cluster) * self._cluster
            self._file.write(block, bytes(self._cluster))
            self._put(slot, block)
            self._count(block // self._cluster)
        self._file.write(block + place * _COUNT.size, _COUNT.pack(references))

    def _check_own(self, entry: int) -> None:
        if not entry & _COPIED:
            raise QMPError("writing below a qcow2 snapshot is not simulated by qemu-sim")

    def _entry(self, offset: int) -> int:
        number: int = _ENTRY.unpack(self._file.read(offset, _ENTRY.size))[0]
        return number

    def _put(self, offset: int, number: int) -> None:
        self._file.write(offset, _ENTRY.pack(number))
