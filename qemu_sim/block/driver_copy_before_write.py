"""The filter copy-before-write: what a backup puts above its source.

QEMU: block/copy-before-write.c
"""

from __future__ import annotations

from qemu_sim.block.node import Node
from qemu_sim.block.permissions import ALL, READ, RESIZE, WRITE, Claim


class DriverCopyBeforeWrite(Node):
    """Shows its child's data. Without guest I/O nothing has to be copied before it is written."""

    TYPE = "copy-before-write"
    CHILD = "file"
    IS_FILTER = True
    roles = ("file", "target")

    def claim_on(self, role: str, asked: Claim) -> Claim:
        """Write to the target; let nobody else write to the source, once somebody is above."""
        if role == "target":
            return Claim(WRITE, ALL & ~RESIZE)
        if not self.parents:
            return asked
        needs = asked.needs | READ if asked.needs & WRITE else asked.needs
        return Claim(needs, asked.shares & ~(WRITE | RESIZE))

    @property
    def exact_filename(self) -> str:
        """The source's name, whatever that is."""
        return self.child.filename
