"""What null-co and null-aio share: zeros of any size, from nowhere.

QEMU: block/null.c
"""

from __future__ import annotations

from qemu_sim.block.node import Node

_DEFAULT_SIZE = 1 << 30
_SECTOR = 512


class NullNode(Node):
    """Reads as zero, forgets what is written."""

    IS_PROTOCOL = True
    STRONG = ("size", "read-zeroes")
    allocated = 0
    has_flags = False
    memory_alignment = _SECTOR

    @property
    def size(self) -> int:
        """Bytes, a gibibyte unless given."""
        size: int = self.options.get("size", _DEFAULT_SIZE)
        return size

    @property
    def exact_filename(self) -> str:
        """`null-co://`, where nothing else needs to be said."""
        return "" if self._strong() else f"{self.TYPE}://"
