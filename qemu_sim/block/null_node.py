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

    def read(self, offset: int, length: int) -> bytes:  # noqa: ARG002  (zeros everywhere)
        """Return zeros."""
        return bytes(length)

    def write(self, offset: int, data: bytes) -> None:
        """Forget `data`."""

    def flush(self) -> None:
        """Nothing was written."""

    def extent(self, offset: int, length: int) -> tuple[int, bool]:  # noqa: ARG002  (the same everywhere)
        """All zeros, if that was promised."""
        return length, bool(self.options.get("read-zeroes"))

    def holds(self, offset: int, length: int) -> bool:  # noqa: ARG002  (the same everywhere)
        """There is nothing below."""
        return True

    @property
    def exact_filename(self) -> str:
        """`null-co://`, where nothing else needs to be said."""
        return "" if self._strong() else f"{self.TYPE}://"
