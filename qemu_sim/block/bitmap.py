"""Dirty bitmaps. No guest writes here, so they stay clean.

QEMU: block/dirty-bitmap.c, block/monitor/bitmap-qmp-cmds.c
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from qemu_sim.errors import QMPError

_DEFAULT_GRANULARITY = 65536
_LEAST_GRANULARITY = 512


@dataclass(slots=True)
class Bitmap:
    """One bitmap of a node; `recording` says whether it would note writes."""

    name: str
    granularity: int = _DEFAULT_GRANULARITY
    recording: bool = True

    def describe(self) -> dict[str, Any]:
        """Return the BlockDirtyInfo."""
        return {
            "name": self.name,
            "count": 0,
            "granularity": self.granularity,
            "recording": self.recording,
            "busy": False,
            "persistent": False,
        }

    def sha256(self, size: int) -> str:
        """Return the hash of its words, 64 clean bits each, for a node of so many bytes.

        QEMU: util/hbitmap.c (hbitmap_sha256)
        """
        bits = -(-size // self.granularity)
        return hashlib.sha256(bytes(8 * max(-(-bits // 64), 1))).hexdigest()


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
