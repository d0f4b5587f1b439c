"""The driver null-co: zeros of any size, from nowhere.

QEMU: block/null.c
"""

from __future__ import annotations

from qemu_sim.block.null_node import NullNode


class DriverNullCo(NullNode):
    """Reads as zero, forgets what is written."""

    TYPE = "null-co"
