"""The error for a value that an enum lacks.

QEMU: qapi/qapi-util.c (qapi_enum_parse)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from qemu_sim.errors import QMPError

_OURS = "Sim"  # how the names of our own types begin; QEMU's are masked


def unknown_value(name: str, value: str, known: Collection[str] = ()) -> QMPError:
    """Return it in QEMU's words; `known` values are listed behind them."""
    text = f"Parameter '{name}' does not accept value '{value}'"
    return QMPError(f"{text}: there are {', '.join(known)}" if known else text)


def not_in_enum(name: str, value: str, enum: dict[str, Any]) -> QMPError:
    """Return it for an introspected `enum`: of QEMU's, QEMU lists no values."""
    return unknown_value(name, value, enum["values"] if enum["name"].startswith(_OURS) else ())
