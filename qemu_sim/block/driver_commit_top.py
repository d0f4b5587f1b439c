"""The filter commit_top: what a commit puts above the images that it writes into a lower one.

QEMU: block/commit.c (bdrv_commit_top_child_perm)
"""

from __future__ import annotations

from qemu_sim.block.node import Node
from qemu_sim.block.permissions import FREE, Claim


class DriverCommitTop(Node):
    """Shows its child's data."""

    TYPE = "commit_top"
    CHILD = "backing"
    IS_FILTER = True
    alignment: dict[str, int] = {}  # noqa: RUF012  (never changed)
    memory_alignment = 512

    def claim_on(self, role: str, asked: Claim) -> Claim:  # noqa: ARG002  (there is but one)
        """Whoever is above reads the same, whatever the images below share."""
        return FREE
