"""The object throttle-group: limits that several nodes share.

QEMU: block/throttle-groups.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.object import Object, Place
from qemu_sim.block.limits import checked
from qemu_sim.errors import QMPError
from qemu_sim.qapi import json_values

_UNSTABLE = "x-"
_WORDS = {"-total": "", "-read": "_rd", "-write": "_wr", "-": "_"}
_RATES = [f"{what}-{way}" for what in ("iops", "bps") for way in ("total", "read", "write")]
# Each ThrottleLimits has all of them, in this order.
_DEFAULTS = {
    **{
        name: default
        for rate in _RATES
        for name, default in ((rate, 0), (f"{rate}-max", 0), (f"{rate}-max-length", 1))
    },
    "iops-size": 0,
}


class ThrottleGroup(Object):
    """Limits, and how many nodes are subject to them."""

    TYPE = "throttle-group"

    IN_USE = "Cannot delete throttle group '{}' with active references"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Check the limits. Raises QMPError in QEMU's words."""
        super().__init__(id, options, place)
        single = {
            key.removeprefix(_UNSTABLE): value
            for key, value in options.items()
            if key.startswith(_UNSTABLE)
        }
        self._take({**_DEFAULTS, **single, **options.get("limits", {})})
        self.members = 0

    def set(self, name: str, value: Any) -> None:
        """Change some of the limits, and keep the others. Raises QMPError in QEMU's words."""
        if name != "limits":
            raise QMPError("Property cannot be set after initialization")
        if not isinstance(value, dict):
            raise QMPError("Invalid parameter type for 'limits', expected: object")
        given = {
            key: json_values.scalar("int64")(each, ((None, "limits"), key))
            for key, each in value.items()
            if key in _DEFAULTS
        }
        for key in value.keys() - given.keys():
            raise QMPError(f"Parameter 'limits.{key}' is unexpected")
        self._take({**self.options["limits"], **given})

    def _take(self, limits: dict[str, int]) -> None:
        checked({_drive_name(key): value for key, value in limits.items()})
        single = {f"{_UNSTABLE}{key}": value for key, value in limits.items()}
        self.options = {**self.options, **single, "limits": limits}

    @property
    def in_use(self) -> bool:
        """Whether a node is a member."""
        return self.members > 0


def _drive_name(name: str) -> str:
    """Return what block_set_io_throttle calls the limit."""
    for word, short in _WORDS.items():
        name = name.replace(word, short)
    return name
