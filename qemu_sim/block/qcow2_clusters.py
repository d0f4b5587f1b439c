"""The data of a qcow2 image, cluster by cluster.

QEMU: block/qcow2-cluster.c; docs/interop/qcow2.rst

What else leads to, a snapshot perhaps, is not written to but copied first. Subclusters, and
what zstd has compressed, are refused.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qemu_sim.block import qcow2_entry
from qemu_sim.block.qcow2_entry import COMPRESSED, COPIED, OFFSET, SIZE, ZERO, is_own
from qemu_sim.block.qcow2_header import EXTENDED_L2, MAX_L1
from qemu_sim.block.qcow2_refcounts import Image, Refcounts
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from collections.abc import Callable

_L1_AT = 36  # of the L1 table's size and offset in the header
_L1 = struct.Struct(">IQ")
_ENTRY = struct.Struct(">Q")


class Clusters:
    """Where the guest's clusters are in the file of `image`."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.refcounts = Refcounts(image)

    def read(self, offset: int, length: int, below: Callable[[int, int], bytes]) -> bytes:
        """Return guest data; `below(offset, length)` provides what the image does not hold."""
        parts = []
        for at, inside, count in self._pieces(offset, length):
            entry = self._find(at)
            if entry & COMPRESSED:
                parts.append(self._inflate(entry)[inside : inside + count])
            elif entry & ZERO:
                parts.append(bytes(count))
            elif entry & OFFSET:
                parts.append(self._image.child.read((entry & OFFSET) + inside, count))
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
            if is_own(entry) and not entry & (ZERO | COMPRESSED):
                self._image.child.write((entry & OFFSET) + inside, piece)
            elif count == self._cluster:
                self._store(at, piece)
            else:
                full = self.read(at * self._cluster, self._cluster, below)
                self._store(at, full[:inside] + piece + full[inside + count :])

    def discard(self, offset: int, length: int) -> None:
        """Forget what the image holds of a range of whole clusters."""
        dropped: Counter[int] = Counter()
        for at, _, _ in self._pieces(offset, length):
            entry = self._find(at)
            if entry:
                self._put(self._own_slot(at), 0)
                dropped.update(qcow2_entry.clusters(entry, self._image.header.cluster_bits))
        self.refcounts.change(dropped, -1)

    def grow(self, entries: int) -> None:
        """Move the L1 table to where it has room for so many entries."""
        if entries > MAX_L1:
            raise QMPError("The image size is too large (try using a larger cluster size)")
        header, cluster = self._image.header, self._cluster
        old = self._image.child.read(header.l1_offset, header.l1_size * SIZE)
        count = -(-entries * SIZE // cluster)
        offset = self.refcounts.allocate(count)
        self._image.child.write(offset, old.ljust(count * cluster, b"\0"))
        self._image.child.write(_L1_AT, _L1.pack(entries, offset))
        self._image.read_header()
        self.refcounts.free(header.l1_offset, len(old))

    def holds(self, offset: int, length: int) -> bool:
        """Whether the image itself says what any of these bytes are."""
        kept = OFFSET | ZERO | COMPRESSED
        return any(self._find(at) & kept for at, _, _ in self._pieces(offset, length))

    @property
    def _cluster(self) -> int:
        return self._image.header.cluster

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
        header = self._image.header
        if header.incompatible & EXTENDED_L2:
            raise QMPError("copying qcow2 subclusters is not simulated by qemu-sim")
        index, place = divmod(at, self._cluster // SIZE)
        if index >= header.l1_size:
            return 0
        table = self._entry(header.l1_offset + index * SIZE) & OFFSET
        return self._entry(table + place * SIZE) if table else 0

    def _inflate(self, entry: int) -> bytes:
        header = self._image.header
        if header.compression:
            raise QMPError("copying zstd-compressed qcow2 clusters is not simulated by qemu-sim")
        data = self._image.child.read(*qcow2_entry.compressed(entry, header.cluster_bits))
        return qcow2_entry.inflate(data, self._cluster)

    def _store(self, at: int, data: bytes) -> None:
        """Keep all of a guest's cluster in one that nothing else leads to."""
        slot = self._own_slot(at)
        old = self._entry(slot)
        if is_own(old) and not old & COMPRESSED:  # one that reads as zero, but has a place
            self._image.child.write(old & OFFSET, data)
            self._put(slot, old & OFFSET | COPIED)
            return
        self._put(slot, self._allocate(data) | COPIED)
        self._drop(old)

    def _own_slot(self, at: int) -> int:
        """Return where the L2 entry of a guest's cluster is, in a table of its own."""
        index, place = divmod(at, self._cluster // SIZE)
        slot = self._image.header.l1_offset + index * SIZE
        table = self._entry(slot)
        if not is_own(table):
            old = table & OFFSET
            data = self._image.child.read(old, self._cluster) if old else b""
            table = self._allocate(data) | COPIED
            self._put(slot, table)
            self._drop(old)
        return (table & OFFSET) + place * SIZE

    def _allocate(self, data: bytes) -> int:
        """Return the offset of a new cluster that holds `data`."""
        offset = self.refcounts.allocate()
        self._image.child.write(offset, data.ljust(self._cluster, b"\0"))
        return offset

    def _drop(self, entry: int) -> None:
        """Note that one entry less leads to a cluster."""
        used = qcow2_entry.clusters(entry, self._image.header.cluster_bits)
        self.refcounts.change(Counter(used), -1)

    def _entry(self, offset: int) -> int:
        number: int = _ENTRY.unpack(self._image.child.read(offset, SIZE))[0]
        return number

    def _put(self, offset: int, number: int) -> None:
        self._image.child.write(offset, _ENTRY.pack(number))
