"""The driver raw: all of its file, or a window of it.

QEMU: block/raw-format.c
"""

from __future__ import annotations

from qemu_sim.block import permissions
from qemu_sim.block.node import Node
from qemu_sim.block.permissions import RESIZE, WRITE, Claim
from qemu_sim.errors import QMPError

_SECTOR = 512


class DriverRaw(Node):
    """A window of `size` bytes from `offset`; without them, the whole."""

    TYPE = "raw"
    CHILD = "file"
    STRONG = ("offset", "size")

    def open(self) -> None:
        """Check that the window is inside the file."""
        offset, size = self.options.get("offset", 0), self.options.get("size")
        below = -(-self.child.size // _SECTOR) * _SECTOR
        if offset > below:
            raise QMPError(
                f"Offset ({offset}) cannot be greater than size of the containing file ({below})"
            )
        if size is not None and size > below - offset:
            raise QMPError(
                f"The sum of offset ({offset}) and size ({size}) has to be smaller or equal to the "
                f" actual size of the containing file ({below})"
            )
        if size is not None and size % _SECTOR:
            raise QMPError("Specified size is not multiple of 512")

    def claim_on(self, role: str, asked: Claim) -> Claim:  # noqa: ARG002  (there is but one)
        """A window keeps its file's size; neither writes by itself."""
        if not self.options.get("offset") and "size" not in self.options:
            return asked
        found = permissions.of_data(asked)
        writes = WRITE | RESIZE
        found = Claim(found.needs & ~writes | asked.needs & writes, found.shares)
        return found if self.active else found.with_writers()

    @property
    def size(self) -> int:
        """Bytes of the window."""
        size: int = self.options.get("size", self.child.size - self.window)
        return size

    @property
    def alignment(self) -> dict[str, int]:
        """How much the node below can take at a time."""
        below = self.child.alignment
        return {key: below[key] for key in ("opt-transfer", "max-transfer") if key in below}

    @property
    def window(self) -> int:
        """Where it begins in the file."""
        offset: int = self.options.get("offset", 0)
        return offset

    def resize(self, size: int) -> None:
        """Resize the file below."""
        if "size" in self.options:
            raise QMPError("Cannot resize fixed-size raw disks")
        self.child.resize(size + self.window)
