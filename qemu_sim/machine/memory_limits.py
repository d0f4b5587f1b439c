"""How much RAM a machine has, from -m.

QEMU: hw/core/machine.c (machine_set_mem)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.keyval_values import scalar

DEFAULT_SIZE = 128 << 20  # hw/core/machine.c (machine_class_init)
_ALIGNMENT = 8192
# The members of MemorySizeConfiguration: their names in -m, and their kinds.
_PROPERTIES = {
    "size": ("size", "size"),
    "max-size": ("maxmem", "size"),
    "slots": ("slots", "uint64"),
}


def from_machine_property(value: Any) -> dict[str, int]:
    """Read `-machine memory.size=1G`, as -m would be read. Raises QMPError in QEMU's words."""
    if not isinstance(value, dict):
        raise QMPError("Invalid parameter type for 'memory', expected: object")
    given = {}
    for key, text in value.items():
        if key not in _PROPERTIES:
            raise QMPError(f"Parameter 'memory.{key}' is unexpected")
        name, kind = _PROPERTIES[key]
        given[name] = scalar(kind)(text, ((None, "memory"), key))
    return given


def to_machine_property(given: Mapping[str, int], size: int) -> dict[str, int]:
    """Return the MemorySizeConfiguration that the machine object shows."""
    if not given.get("slots"):
        return {"size": size}
    return {"size": size, "slots": given["slots"], "max-size": given["maxmem"]}


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
