"""The integer kinds of QAPI, which introspection calls "int" all alike.

QEMU: qapi/qapi-visit-core.c (visit_type_intN, visit_type_uintN)
"""

from __future__ import annotations

# kind: (smallest, largest). "size" is a uint64 that takes suffixes on the command line.
RANGES = {
    "int8_t": (-(1 << 7), (1 << 7) - 1),
    "int16_t": (-(1 << 15), (1 << 15) - 1),
    "int32_t": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint8_t": (0, (1 << 8) - 1),
    "uint16_t": (0, (1 << 16) - 1),
    "uint32_t": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
    "size": (0, (1 << 64) - 1),
}


def is_signed(kind: str) -> bool:
    """Whether QEMU reads the kind as an int64 before it looks at the range."""
    return RANGES[kind][0] < 0


def is_narrow(kind: str) -> bool:
    """Whether a value may fit 64 bits and still be out of range."""
    return kind.endswith("_t")
