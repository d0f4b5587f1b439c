"""The object throttle-group: limits that several nodes share.

QEMU: block/throttle-groups.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.object import Object, Place
from qemu_sim.block import limits

_UNSTABLE = "x-"
_WORDS = {"-total": "", "-read": "_rd", "-write": "_wr", "-": "_"}


class ThrottleGroup(Object):
    """Limits, and how many nodes are subject to them."""

    TYPE = "throttle-group"

    IN_USE = "Cannot delete throttle group '{}' with active references"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Check the limits. Raises QMPError in QEMU's words."""
        super().__init__(id, options, place)
        given = options.get("limits", options)
        limits.checked({_drive_name(key): value for key, value in given.items()})
        self.members = 0

    @property
    def in_use(self) -> bool:
        """Whether a node is a member."""
        return self.members > 0


def _drive_name(key: str) -> str:
    """Return what block_set_io_throttle calls the limit."""
    name = key.removeprefix(_UNSTABLE)
    for word, short in _WORDS.items():
        name = name.replace(word, short)
    return name
