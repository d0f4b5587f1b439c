"""Numbers as QEMU keeps them.

QEMU: qobject/json-parser.c (parse_literal), qobject/qnum.c
"""

from __future__ import annotations

_INT64_MIN, _UINT64_MAX = -(1 << 63), (1 << 64) - 1
_LONGEST = 20  # characters of the longest integer that fits, sign included


def integer(text: str) -> int | float:
    """Return what fits int64 or uint64 exactly, anything else as the nearest double."""
    if len(text) <= _LONGEST:
        number = int(text)
        if _INT64_MIN <= number <= _UINT64_MAX:
            return number
    return float(text)
