"""What may go wrong on purpose, one fault a file.

A fault is a class with a TYPE (file name = QMP name) and, for what strikes at a point of
a migration, `POINT` (where it stands unless told otherwise), `NOT_AT` (where it makes no
sense) and `strike`; for what changes the descriptors of a device on their way out, `tamper`.
"""

from __future__ import annotations

from collections.abc import Sequence

from qemu_sim import catalog
from qemu_sim.errors import QMPError
from qemu_sim.hooks import POINTS, Hooks


def arm(hooks: Hooks, name: str, at: str | None = None) -> None:
    """Arm the fault `name` once, at a point if it is one that strikes at a point.

    Raises QMPError for an unknown fault or point, or a point where none is meant.
    """
    made = catalog.find(__name__, "", name)
    if made is None:
        raise QMPError(f"Parameter 'fault' does not accept value '{name}': {_listed(_names())}")
    if at is not None and at not in POINTS:
        raise QMPError(f"Parameter 'at' does not accept value '{at}': {_listed(POINTS)}")
    fault = made()
    if hasattr(fault, "tamper"):
        if at is not None:
            raise QMPError(f"fault '{name}' strikes when descriptors are sent, not at '{at}'")
        hooks.arm_descriptors(fault.tamper)
        return
    if at in fault.NOT_AT:
        raise QMPError(f"fault '{name}' has nothing to break at '{at}'")
    hooks.arm(at or fault.POINT, fault.strike)


def _names() -> list[str]:
    return catalog.names(__name__, "")


def _listed(names: Sequence[str]) -> str:
    return f"there are {', '.join(names)}"


def arm_text(hooks: Hooks, text: str) -> None:
    """Arm `NAME` or `NAME@POINT`, as `-sim fault=` writes it."""
    name, _, at = text.partition("@")
    arm(hooks, name, at or None)
