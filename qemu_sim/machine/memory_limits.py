"""How much RAM a machine has, from -m.

QEMU: hw/core/machine.c (machine_set_mem)
"""

from __future__ import annotations

from collections.abc import Mapping

from qemu_sim.errors import QMPError

DEFAULT_SIZE = 128 << 20  # hw/core/machine.c (machine_class_init)
_ALIGNMENT = 8192


def memory_size(given: Mapping[str, int]) -> int:
    """Return the initial size in bytes, from `size`, `maxmem` and `slots`.

    Raises QMPError in QEMU's words if the three do not fit together.
    """
    size = given.get("size") or DEFAULT_SIZE
    size += -size % _ALIGNMENT
    most, slots = given.get("maxmem"), given.get("slots")
    if most is None:
        if slots:
            raise QMPError("slots specified but no max-size")
        return size
    if most < size:
        raise QMPError(
            f"invalid value of maxmem: maximum memory size (0x{most:x}) must be at least the "
            f"initial memory size (0x{size:x})"
        )
    if slots and most == size:
        raise QMPError(
            "invalid value of maxmem: memory slots were specified but maximum memory size "
            f"(0x{most:x}) is equal to the initial memory size (0x{size:x})"
        )
    return size
