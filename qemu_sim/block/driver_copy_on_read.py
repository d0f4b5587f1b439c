"""The filter copy-on-read. Without guest I/O there is nothing that it could copy.

QEMU: block/copy-on-read.c
"""

from __future__ import annotations

from qemu_sim.block.node import Node
from qemu_sim.block.permissions import UNCHANGED, Claim
from qemu_sim.errors import QMPError


class DriverCopyOnRead(Node):
    """Shows its child's data."""

    TYPE = "copy-on-read"
    CHILD = "file"
    IS_FILTER = True
    STRONG = ("bottom",)

    def open(self) -> None:
        """Refuse the option whose effect does not exist here."""
        if "bottom" in self.options:
            raise QMPError("copy-on-read with 'bottom' is not simulated by qemu-sim")

    def claim_on(self, role: str, asked: Claim) -> Claim:  # noqa: ARG002  (there is but one)
        """What was read is written to the same place."""
        needs = asked.needs | UNCHANGED if self.active else asked.needs
        return Claim(needs, asked.shares)

    def resize(self, size: int) -> None:
        """Resize the node below."""
        self.child.resize(size)
