"""The internal snapshots of a qcow2 image, and the state of the machine behind its disk's end.

QEMU: block/qcow2-snapshot.c, block/qcow2.c (qcow2_save_vmstate)

A snapshot is a copy of the L1 table, which keeps every cluster that it leads to.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from qemu_sim.block import qcow2_snapshot_table as table
from qemu_sim.block.qcow2_entry import SIZE
from qemu_sim.block.qcow2_header import DIRTY, EXTENDED_L2, MAX_L1, MAX_SNAPSHOTS
from qemu_sim.block.qcow2_sharing import L1, mark, uses
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qemu_sim.block.qcow2_clusters import Clusters
    from qemu_sim.block.qcow2_refcounts import Image
    from qemu_sim.block.snapshot import Snapshot

_SIZE_AT = 24  # of the virtual size in the header
_SNAPSHOTS_AT = 60  # of their number, and their table's offset
_SNAPSHOTS = struct.Struct(">IQ")
_MAX_TABLE = 64 << 20  # bytes; QCOW_MAX_SNAPSHOTS_SIZE is larger, for more than we look at


class Qcow2Snapshots:
    """A `SnapshotStore` in the file of `image`, whose data is in `clusters`."""

    def __init__(self, image: Image, clusters: Clusters) -> None:
        self._image = image
        self._clusters = clusters

    def listed(self) -> Sequence[Snapshot]:
        """Return all of them, oldest first."""
        return [entry.snapshot for entry in self._entries()]

    def create(self, snapshot: Snapshot) -> None:
        """Keep the data as it is, and what was written as VM state. Raises QMPError."""
        self._check()
        entries, active, size = self._entries(), self._active, self._image.header.size
        if len(entries) >= MAX_SNAPSHOTS:
            raise QMPError("File too large")
        self._share(active)
        refcounts = self._clusters.refcounts
        offset = refcounts.allocate(self._table_clusters(active.length))
        self._image.child.write(offset, self._image.child.read(active.offset, active.length))
        named = snapshot._replace(id=_next_id(entries))
        entry = table.Entry(named, offset, active.entries, size)
        self._replace_table([*entries, entry])
        # In the active table it would only make the next write to it slow.
        self._clusters.discard(self._vm_state_at, snapshot.vm_state_size)

    def go_to(self, snapshot: Snapshot) -> None:
        """Have the data, and the VM state, as they were then. Raises QMPError."""
        self._check()
        entry = self._entry(snapshot)
        if self._active.entries < entry.l1_entries:
            self._clusters.grow(entry.l1_entries)
        kept = L1(entry.l1_offset, entry.l1_entries)
        active, refcounts = self._active, self._clusters.refcounts
        dropped = uses(self._image, active)
        self._share(kept)
        data = self._image.child.read(kept.offset, kept.length)
        self._image.child.write(active.offset, data.ljust(active.length, b"\0"))
        refcounts.change(dropped, -1)
        mark(self._image, refcounts, active)
        if entry.disk_size is not None:
            self._image.child.write(_SIZE_AT, entry.disk_size.to_bytes(8, "big"))
            self._image.read_header()

    def delete(self, snapshot: Snapshot) -> None:
        """Forget one. Raises QMPError."""
        self._check()
        entry = self._entry(snapshot)
        self._replace_table([each for each in self._entries() if each != entry])
        gone, refcounts = L1(entry.l1_offset, entry.l1_entries), self._clusters.refcounts
        refcounts.change(uses(self._image, gone), -1)
        refcounts.free(gone.offset, gone.length)
        mark(self._image, refcounts, self._active)

    def write_vm_state(self, offset: int, data: bytes) -> None:
        """Store a part of the machine's state, for the next `create`. Raises QMPError."""
        self._check()
        start = self._vm_state_at + offset
        needed = -(-(start + len(data)) // self._per_entry)
        if needed > self._active.entries:
            self._clusters.grow(needed)
        self._clusters.write(start, data, _zeros)

    def read_vm_state(self, offset: int, length: int) -> bytes:
        """Return a part of the state that came with `go_to`."""
        return self._clusters.read(self._vm_state_at + offset, length, _zeros)

    @property
    def _active(self) -> L1:
        return L1(self._image.header.l1_offset, self._image.header.l1_size)

    @property
    def _per_entry(self) -> int:
        """Bytes that an entry of the L1 table stands for."""
        cluster = self._image.header.cluster
        return cluster * cluster // SIZE

    @property
    def _vm_state_at(self) -> int:
        """Where the state begins: at the first entry of the L1 table that no disk data needs."""
        return -(-self._image.header.size // self._per_entry) * self._per_entry

    def _check(self) -> None:
        """Raise QMPError for an image that is not to be written to here."""
        features = self._image.header.incompatible
        if features & EXTENDED_L2:
            raise QMPError("snapshots of qcow2 subclusters are not simulated by qemu-sim")
        if features & DIRTY:
            raise QMPError("a snapshot of an image to be repaired is not simulated by qemu-sim")

    def _share(self, l1: L1) -> None:
        """Note that one table more leads to all that this one does."""
        refcounts = self._clusters.refcounts
        refcounts.change(uses(self._image, l1), 1)
        mark(self._image, refcounts, l1)

    def _entries(self) -> list[table.Entry]:
        header = self._image.header
        if not header.snapshots:
            return []
        left = self._image.child.size - header.snapshots_offset
        data = self._image.child.read(header.snapshots_offset, min(max(left, 0), _MAX_TABLE))
        return table.read(data, header.snapshots)

    def _entry(self, snapshot: Snapshot) -> table.Entry:
        entry = next(each for each in self._entries() if each.snapshot == snapshot)
        if entry.l1_entries > MAX_L1:
            raise QMPError("Snapshot L1 table too large")
        if snapshot.vm_state_size > entry.l1_entries * self._per_entry:
            raise QMPError("the VM state of a qcow2 snapshot is larger than what its L1 table maps")
        return entry

    def _replace_table(self, entries: Sequence[table.Entry]) -> None:
        header, refcounts = self._image.header, self._clusters.refcounts
        old, new = table.write(self._entries()), table.write(entries)
        offset = 0
        if new:
            count = self._table_clusters(len(new))
            offset = refcounts.allocate(count)
            self._image.child.write(offset, new.ljust(count * header.cluster, b"\0"))
        self._image.child.write(_SNAPSHOTS_AT, _SNAPSHOTS.pack(len(entries), offset))
        self._image.read_header()
        refcounts.free(header.snapshots_offset, len(old))

    def _table_clusters(self, length: int) -> int:
        return -(-length // self._image.header.cluster)


def _next_id(entries: Sequence[table.Entry]) -> str:
    numbers = [int(each.snapshot.id) for each in entries if each.snapshot.id.isdecimal()]
    return str(max(numbers, default=0) + 1)


def _zeros(_offset: int, length: int) -> bytes:
    return bytes(length)
