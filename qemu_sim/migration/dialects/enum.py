"""The parameter `backend-transfer` as a list of kinds: versions 6 and 7, autumn 2025.

The one kind is virtio-net-tap: all TAPs behind virtio-net travel, or none. A destination
decides in migrate-incoming. Whether the channel carries descriptors nobody asks before the
first of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qemu_sim.migration.dialects.dialect import Dialect

if TYPE_CHECKING:
    from qemu_sim.migration.dialects.dialect import Netdev
    from qemu_sim.migration.transfer import Transferable

_NAME = "backend-transfer"


class Enum(Dialect):
    """A parameter that holds [] or ["virtio-net-tap"]."""

    TYPE = "enum"
    PARAMETERS: ClassVar = {_NAME: []}

    def is_asked_for(self, device: Transferable, tap: Netdev) -> bool:
        """Whether TAPs travel at all."""
        del device, tap
        return "virtio-net-tap" in self._machine.parameters[_NAME]
