"""Scalars of key=value options, which are all strings.

QEMU: qapi/qobject-input-visitor.c (qobject_input_type_*_keyval), util/cutils.c

The counterpart of json_values for -audiodev, -netdev stream and device properties.
"""

from __future__ import annotations

import re
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.integers import RANGES, is_signed
from qemu_sim.qapi.json_values import Check
from qemu_sim.qapi.opts import parse_bool
from qemu_sim.qapi.path import Path, bare_name, spell_dotted
from qemu_sim.qapi.sizes import parse_size

spell = spell_dotted

_INTEGER = re.compile(r"\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_INT64_MIN, _INT64_MAX = RANGES["int64"]
_UINT64_MAX = RANGES["uint64"][1]


def wrong_type(path: Path, expected: str) -> QMPError:
    """Error for a string where an object or a list must be, or the reverse."""
    return QMPError(f"Invalid parameter type for '{spell(path)}', expected: {expected}")


def scalar(kind: str) -> Check:
    """Check for a built-in type: str, bool, number, null, any, or an integer kind."""
    return _SCALARS[kind] if kind in _SCALARS else _integer(kind)


def read_integer(text: str) -> int | None:
    """Read a C integer (decimal, 0x, or octal after a 0), None where `text` is none."""
    found = _INTEGER.fullmatch(text)
    if found is None:
        return None
    digits = found[2]
    octal = digits.startswith("0") and digits.isdigit()
    number = int(digits, 8 if octal else 0)
    return -number if found[1] == "-" else number


def in_range(number: int, kind: str, name: str) -> int:
    """Return `number`, which fits 64 bits, as an integer of `kind`. Raises QMPError."""
    if not is_signed(kind):
        number &= _UINT64_MAX
    smallest, largest = RANGES[kind]
    if not smallest <= number <= largest:
        raise QMPError(f"Parameter '{name}' expects {kind}")
    return number


def _string(value: Any, path: Path) -> str:
    if type(value) is str:
        return value
    raise QMPError(f"Parameters '{spell(path)}.*' are unexpected")


def _boolean(value: Any, path: Path) -> bool:
    return parse_bool(spell(path), _string(value, path))


def _number(value: Any, path: Path) -> float:
    try:
        return float(_string(value, path))
    except ValueError:
        raise wrong_type(path, "number") from None


def _null(_value: Any, path: Path) -> None:
    raise wrong_type(path, "null")


def _any(value: Any, _path: Path) -> Any:
    return value


def _size(value: Any, path: Path) -> int:
    try:
        return parse_size(spell(path), _string(value, path))
    except QMPError:  # its text is that of the older option syntax
        raise QMPError(f"Parameter '{spell(path)}' expects size") from None


def _integer(kind: str) -> Check:
    largest = _INT64_MAX if is_signed(kind) else _UINT64_MAX

    def check(value: Any, path: Path) -> int:
        number = read_integer(_string(value, path))
        if number is None or not _INT64_MIN <= number <= largest:
            raise QMPError(f"Parameter '{spell(path)}' expects integer")
        return in_range(number, kind, bare_name(path))

    return check


_SCALARS: dict[str, Check] = {
    "str": _string,
    "bool": _boolean,
    "number": _number,
    "null": _null,
    "any": _any,
    "size": _size,
}
