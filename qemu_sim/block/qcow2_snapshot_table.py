"""The table of the internal snapshots in a qcow2 image.

QEMU: docs/interop/qcow2.rst (snapshots), block/qcow2-snapshot.c
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from qemu_sim.block.snapshot import SECOND, Snapshot

# l1_table_offset, l1_size, id length, name length, seconds, nanoseconds, VM clock, VM state
# size, length of what follows before the texts
_ENTRY = struct.Struct(">QIHHIIQII")
_EXTRA = struct.Struct(">QQQ")  # VM state size, disk size, icount; each there from some version on
_DISK_SIZE_END = 16  # bytes of them
_NO_ICOUNT = (1 << 64) - 1
_U32_MAX = (1 << 32) - 1


class Entry(NamedTuple):
    """One snapshot, and where its data is."""

    snapshot: Snapshot
    l1_offset: int
    l1_entries: int
    disk_size: int | None
    """Bytes; None where the image is too old to say."""
    unknown: bytes = b""
    """Behind what we know, from a newer QEMU."""


def read(data: bytes, count: int) -> list[Entry]:
    """Return `count` entries of `data`; fewer where it ends before."""
    found: list[Entry] = []
    at = 0
    while len(found) < count and at + _ENTRY.size <= len(data):
        entry, at = _read(data, at)
        found.append(entry)
    return found


def write(entries: Iterable[Entry]) -> bytes:
    """Return the table."""
    return b"".join(map(_write, entries))


def _read(data: bytes, at: int) -> tuple[Entry, int]:
    """Return the entry at `at`, and where the next one is."""
    l1_offset, l1_entries, id_length, name_length, seconds, nanoseconds, clock, state, extra = (
        _ENTRY.unpack_from(data, at)
    )
    at += _ENTRY.size
    more = data[at : at + extra]
    large_state, disk_size, icount = _EXTRA.unpack_from(more.ljust(_EXTRA.size, b"\0"))
    at += extra
    snapshot = Snapshot(
        name=_text(data[at + id_length : at + id_length + name_length]),
        date=seconds * SECOND + nanoseconds,
        vm_clock=clock,
        vm_state_size=large_state or state,
        id=_text(data[at : at + id_length]),
        icount=icount if extra >= _EXTRA.size and icount != _NO_ICOUNT else None,
    )
    size = disk_size if extra >= _DISK_SIZE_END else None
    end = -(-(at + id_length + name_length) // 8) * 8
    return Entry(snapshot, l1_offset, l1_entries, size, more[_EXTRA.size :]), end


def _write(entry: Entry) -> bytes:
    each = entry.snapshot
    id, name = _bytes(each.id), _bytes(each.name)
    icount = _NO_ICOUNT if each.icount is None else each.icount
    small_state = each.vm_state_size if each.vm_state_size <= _U32_MAX else 0
    head = _ENTRY.pack(
        *(entry.l1_offset, entry.l1_entries, len(id), len(name)),
        *(each.date // SECOND, each.date % SECOND, each.vm_clock, small_state),
        _EXTRA.size + len(entry.unknown),
    )
    extra = _EXTRA.pack(each.vm_state_size, entry.disk_size or 0, icount) + entry.unknown
    made = head + extra + id + name
    return made.ljust(-(-len(made) // 8) * 8, b"\0")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
