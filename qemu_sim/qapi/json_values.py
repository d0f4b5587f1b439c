"""Scalars of a QMP command's arguments, which are JSON.

QEMU: qapi/qobject-input-visitor.c (qobject_input_type_*)

Each check takes a value and its path, and returns the value as the command gets it or
raises QMPError. An int beyond 64 bits counts as the double that QEMU makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi.integers import RANGES, is_narrow, is_signed
from qemu_sim.qapi.path import Path, bare_name
from qemu_sim.qapi.path import spell as spell  # noqa: PLC0414 - this module's paths are spelled so

Check = Callable[[Any, Path], Any]

_INT64_MIN, _INT64_MAX = RANGES["int64"]
_UINT64_MAX = RANGES["uint64"][1]


def wrong_type(path: Path, expected: str) -> QMPError:
    """Error for a value of another JSON type."""
    return QMPError(f"Invalid parameter type for '{spell(path)}', expected: {expected}")


def scalar(kind: str) -> Check:
    """Check for a built-in type: str, bool, number, null, any, or an integer kind."""
    return _SCALARS[kind] if kind in _SCALARS else _integer(kind)


def _string(value: Any, path: Path) -> str:
    if type(value) is str:
        return value
    raise wrong_type(path, "string")


def _boolean(value: Any, path: Path) -> bool:
    if type(value) is bool:
        return value
    raise wrong_type(path, "boolean")


def _number(value: Any, path: Path) -> int | float:
    if type(value) in (int, float):
        return value  # type: ignore[no-any-return]
    raise wrong_type(path, "number")


def _null(value: Any, path: Path) -> None:
    if value is not None:
        raise wrong_type(path, "null")


def _any(value: Any, _path: Path) -> Any:
    return value


def _int64(value: Any, path: Path) -> int:
    if type(value) is int and _INT64_MIN <= value <= _INT64_MAX:
        return value
    raise wrong_type(path, "integer")


def _uint64(value: Any, path: Path) -> int:
    if type(value) is int and _INT64_MIN <= value <= _UINT64_MAX:
        return value & _UINT64_MAX  # QEMU takes -1, and means 2**64 - 1
    raise QMPError(f"Parameter '{spell(path)}' expects uint64")


def _integer(kind: str) -> Check:
    wide = _int64 if is_signed(kind) else _uint64
    if not is_narrow(kind):
        return wide
    smallest, largest = RANGES[kind]

    def check(value: Any, path: Path) -> int:
        number = wide(value, path)
        if smallest <= number <= largest:
            return number
        raise QMPError(f"Parameter '{bare_name(path)}' expects {kind}")

    return check


_SCALARS: dict[str, Check] = {
    "str": _string,
    "bool": _boolean,
    "number": _number,
    "null": _null,
    "any": _any,
}
