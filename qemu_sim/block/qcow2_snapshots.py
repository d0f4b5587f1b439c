"""The internal snapshots that a qcow2 image lists.

QEMU: docs/interop/qcow2.rst (snapshot table), block/qcow2-snapshot.c
"""

from __future__ import annotations

import struct
from typing import Any

# l1_table_offset, l1_size, id length, name length, seconds, nanoseconds, VM clock, VM state
# size, length of what follows before the texts
_ENTRY = struct.Struct(">QIHHIIQII")
_EXTRA = struct.Struct(">QQQ")  # VM state size, disk size, icount; each there from some version on
_SECOND = 1_000_000_000
_NO_ICOUNT = (1 << 64) - 1


def read(data: bytes, count: int) -> list[dict[str, Any]]:
    """Return the QAPI SnapshotInfo of each of `count` entries in `data`, the image's table."""
    found, at = [], 0
    for _ in range(count):
        if at + _ENTRY.size > len(data):
            break
        _, _, id_length, name_length, seconds, nanoseconds, clock, state, extra = (
            _ENTRY.unpack_from(data, at)
        )
        at += _ENTRY.size
        more = data[at : at + extra].ljust(_EXTRA.size, b"\0")
        large_state, _, icount = _EXTRA.unpack_from(more)
        at += extra
        id = data[at : at + id_length].decode("utf-8", "replace")
        name = data[at + id_length : at + id_length + name_length].decode("utf-8", "replace")
        at = -(-(at + id_length + name_length) // 8) * 8
        entry = {
            "id": id,
            "name": name,
            "vm-state-size": large_state or state,
            "date-sec": seconds,
            "date-nsec": nanoseconds,
            "vm-clock-sec": clock // _SECOND,
            "vm-clock-nsec": clock % _SECOND,
        }
        if extra >= _EXTRA.size and icount != _NO_ICOUNT:
            entry["icount"] = icount
        found.append(entry)
    return found
