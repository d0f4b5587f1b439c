"""Which clusters an L1 table of a qcow2 image leads to, and which of them it alone.

QEMU: block/qcow2-refcount.c (qcow2_update_snapshot_refcount)

Each table leads to L2 tables, and these to data. A cluster that only one of all tables leads
to has the flag COPIED in the entry that does; in a table that is not in use that means nothing.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from qemu_sim.block.qcow2_entry import COMPRESSED, COPIED, OFFSET, SIZE, clusters
from qemu_sim.block.qcow2_refcounts import Image, Refcounts


class L1(NamedTuple):
    """An L1 table: where it is in the file, and how many entries it has."""

    offset: int
    entries: int

    @property
    def length(self) -> int:
        """Bytes."""
        return self.entries * SIZE


def uses(image: Image, l1: L1) -> Counter[int]:
    """Return how often what is in the table leads to each cluster of the file."""
    bits = image.header.cluster_bits
    found: Counter[int] = Counter()
    for _, table in _tables(image, l1):
        found[(table & OFFSET) >> bits] += 1
        for entry in filter(None, _read(image, table & OFFSET, image.header.cluster)):
            found.update(clusters(entry, bits))
    return found


def mark(image: Image, refcounts: Refcounts, l1: L1) -> None:
    """Set COPIED where it is due, and nowhere else."""
    bits = image.header.cluster_bits
    tables = list(_tables(image, l1))
    counts = refcounts.look((table & OFFSET) >> bits for _, table in tables)
    for slot, table in tables:
        offset = table & OFFSET
        _mark_table(image, refcounts, offset)
        marked = _marked(table, counts[offset >> bits])
        image.child.write(slot, marked.to_bytes(SIZE, "big"))


def _mark_table(image: Image, refcounts: Refcounts, offset: int) -> None:
    bits = image.header.cluster_bits
    entries = _read(image, offset, image.header.cluster)
    counts = refcounts.look(
        {(entry & OFFSET) >> bits for entry in entries if entry and not entry & COMPRESSED}
    )
    changed = array("Q", entries)
    for place, entry in enumerate(entries):
        if entry and not entry & COMPRESSED:
            number = (entry & OFFSET) >> bits
            changed[place] = _marked(entry, counts[number] if number else 0)
    if changed != entries:
        image.child.write(offset, _swapped(changed).tobytes())


def _marked(entry: int, count: int) -> int:
    return entry & ~COPIED | (COPIED if count == 1 else 0)


def _tables(image: Image, l1: L1) -> Iterator[tuple[int, int]]:
    """Yield where in the file each entry is that leads to an L2 table, and the entry."""
    for index, table in enumerate(_read(image, l1.offset, l1.length)):
        if table & OFFSET:
            yield l1.offset + index * SIZE, table


def _read(image: Image, offset: int, length: int) -> array[int]:
    return _swapped(array("Q", image.child.read(offset, length)))


def _swapped(entries: array[int]) -> array[int]:
    """Return them in the host's order of bytes, or in the file's."""
    if sys.byteorder == "little":
        entries.byteswap()
    return entries
