"""What may go wrong on purpose, one fault a file.

A fault is a class with a TYPE (file name = QMP name) and, for what strikes at a point of
a migration, `NOT_AT` (where it makes no sense) and `strike`; for what changes the
descriptors of a device on their way out, `tamper`.
"""

from __future__ import annotations

from typing import Any

from qemu_sim import catalog
from qemu_sim.errors import QMPError
from qemu_sim.hooks import POINTS, SURE_POINTS, Hooks, check_passed
from qemu_sim.qapi.unknown_value import unknown_value


def arm(hooks: Hooks, name: str, at: str | None = None, *, incoming: bool) -> None:
    """Arm the fault `name` once, at a point if it is one that strikes at a point.

    Without `at` that is one which every migration passes. `incoming`: the machine was started
    with -incoming. Raises QMPError for an unknown fault or point, or one where none is meant.
    """
    made = catalog.find(__name__, "", name)
    if made is None:
        raise unknown_value("fault", name, catalog.names(__name__, ""))
    fault = made()
    if hasattr(fault, "tamper"):
        if at is not None:
            raise QMPError(f"fault '{name}' strikes when descriptors are sent, not at '{at}'")
        hooks.arm_descriptors(fault)
    elif at is None:
        hooks.arm(SURE_POINTS, fault)
    else:
        _check_place(fault, at, incoming=incoming)
        hooks.arm((at,), fault)


def _check_place(fault: Any, at: str, *, incoming: bool) -> None:
    if at not in POINTS:
        raise unknown_value("at", at, POINTS)
    if at in fault.NOT_AT:
        raise QMPError(f"fault '{fault.TYPE}' has nothing to break at '{at}'")
    check_passed(at, incoming=incoming)


def arm_text(hooks: Hooks, text: str, *, incoming: bool) -> None:
    """Arm `NAME` or `NAME@POINT`, as `-sim fault=` writes it."""
    name, _, at = text.partition("@")
    arm(hooks, name, at or None, incoming=incoming)
