"""The filter mirror_top: what a mirror puts above its source, and an active commit above its top.

QEMU: block/mirror.c (bdrv_mirror_top_child_perm)
"""

from __future__ import annotations

from qemu_sim.block.node import Node
from qemu_sim.block.permissions import READ, WRITE, Claim


class DriverMirrorTop(Node):
    """Shows its child's data."""

    TYPE = "mirror_top"
    CHILD = "backing"
    IS_FILTER = True
    alignment: dict[str, int] = {}  # noqa: RUF012  (never changed)
    memory_alignment = 512

    def claim_on(self, role: str, asked: Claim) -> Claim:  # noqa: ARG002  (there is but one)
        """An active commit writes to the image at the bottom, which reads differently meanwhile."""
        if not self.options.get("commits", False):
            return asked
        return Claim(asked.needs & ~READ, asked.shares | WRITE)
