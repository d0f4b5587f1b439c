"""Sizes as people write and read them: `4096`, `64k`, `1.5G`; `1.5 GiB`.

QEMU: util/cutils.c (qemu_strtosz), util/qemu-option.c
"""

from __future__ import annotations

import re

from qemu_sim.errors import QMPError

_SIZE = r"\s*([+-]?)(?:0[xX]([0-9a-fA-F]+)|([0-9]+)(?:\.([0-9]*))?)([a-zA-Z]?)"
_SUFFIXES = "BKMGTPE"
_HINT = (
    "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\n"
    "and exabytes, respectively."
)
_UINT64 = 1 << 64
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_LEAST_IN_NEXT = 1000  # for more there would be no room


def parse_size(key: str, value: str) -> int:
    """Return the bytes that the value of `key` means. Raises QMPError in QEMU's words."""
    found = re.fullmatch(_SIZE, value)
    suffix = found[5].upper() if found else "?"
    if found is None or (suffix and suffix not in _SUFFIXES):
        raise _not_a_size(key)
    sign, hexadecimal, whole, fraction, _ = found.groups()
    shift = 10 * _SUFFIXES.index(suffix or "B")
    # Half a byte is no size, and after hexadecimal digits a suffix could be one of them.
    if (fraction and not shift) or (hexadecimal and suffix):
        raise _not_a_size(key)
    size = (int(hexadecimal, 16) if hexadecimal else int(whole)) << shift
    if fraction:
        size += (int(fraction) << shift) // 10 ** len(fraction)
    if size >= _UINT64 or (sign == "-" and size):
        raise QMPError(f"Value '{value}' is out of range for parameter '{key}'")
    return size


def size_text(size: int) -> str:
    """Return a size in three digits and a unit. QEMU: util/cutils.c (size_to_str)."""
    power = 0
    while size / (1 << 10 * power) >= _LEAST_IN_NEXT:
        power += 1
    return f"{size / (1 << 10 * power):.3g} {_UNITS[power]}"


def _not_a_size(key: str) -> QMPError:
    return QMPError(f"Parameter '{key}' expects a non-negative number below 2^64\n{_HINT}")
