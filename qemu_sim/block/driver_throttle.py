"""The filter throttle: a member of a throttle group. Without guest I/O it limits nothing.

QEMU: block/throttle.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.block.node import Node
from qemu_sim.errors import QMPError

_GROUP = "throttle-group"


class DriverThrottle(Node):
    """Shows its child's data."""

    TYPE = "throttle"
    CHILD = "file"
    IS_FILTER = True
    STRONG = (_GROUP,)

    _group: Any = None

    def open(self) -> None:
        """Become a member of the group."""
        name = self.options[_GROUP]
        found = self.objects.get(name)
        if found is None or found.TYPE != _GROUP:
            raise QMPError(f"Throttle group '{name}' does not exist")
        found.members += 1
        self._group = found

    def close(self) -> None:
        """Leave the group."""
        if self._group is not None:
            self._group.members -= 1
            self._group = None

    def resize(self, size: int) -> None:
        """Resize the node below."""
        self.child.resize(size)
