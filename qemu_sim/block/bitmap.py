"""Dirty bitmaps: where a node was written to, by jobs and by clients of its exports.

QEMU: block/dirty-bitmap.c, block/monitor/bitmap-qmp-cmds.c
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from qemu_sim.errors import QMPError

_DEFAULT_GRANULARITY = 65536
_LEAST_GRANULARITY = 512


@dataclass(slots=True)
class Bitmap:
    """One bitmap of a node; `recording` says whether it notes writes."""

    name: str
    granularity: int = _DEFAULT_GRANULARITY
    recording: bool = True
    dirty: set[int] = field(default_factory=set)
    """Numbers of the parts, `granularity` bytes each, that were written to."""

    def mark(self, offset: int, length: int) -> None:
        """Note a write."""
        if self.recording and length:
            last = (offset + length - 1) // self.granularity
            self.dirty.update(range(offset // self.granularity, last + 1))

    def merge(self, other: Bitmap) -> None:
        """Note what `other` has noted."""
        for part in other.dirty:
            first = part * other.granularity // self.granularity
            last = ((part + 1) * other.granularity - 1) // self.granularity
            self.dirty.update(range(first, last + 1))

    def describe(self) -> dict[str, Any]:
        """Return the BlockDirtyInfo."""
        return {
            "name": self.name,
            "count": len(self.dirty) * self.granularity,
            "granularity": self.granularity,
            "recording": self.recording,
            "busy": False,
            "persistent": False,
        }

    def sha256(self, size: int) -> str:
        """Return the hash of its words, 64 bits each, for a node of so many bytes.

        QEMU: util/hbitmap.c (hbitmap_sha256)
        """
        bits = -(-size // self.granularity)
        words = bytearray(8 * max(-(-bits // 64), 1))
        for part in self.dirty:
            words[part // 8] |= 1 << part % 8
        return hashlib.sha256(words).hexdigest()


def make(arguments: dict[str, Any]) -> Bitmap:
    """Return what block-dirty-bitmap-add asks for. Raises QMPError in QEMU's words."""
    granularity = arguments.get("granularity", _DEFAULT_GRANULARITY)
    if not arguments["name"]:
        raise QMPError("Bitmap name cannot be empty")
    if granularity < _LEAST_GRANULARITY or granularity & (granularity - 1):
        raise QMPError("Granularity must be power of 2 and at least 512")
    if arguments.get("persistent"):
        raise QMPError("persistent bitmaps are not simulated by qemu-sim")
    return Bitmap(arguments["name"], granularity, not arguments.get("disabled", False))
