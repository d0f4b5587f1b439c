"""The object can-bus: a bus that no simulated device is on.

QEMU: net/can/can_core.c
"""

from __future__ import annotations

from qemu_sim.backends.object import Object


class CanBus(Object):
    """A bus that stays until the end, as in QEMU."""

    TYPE = "can-bus"
    IN_USE = "Deleting CAN bus device '{}' is not supported"

    @property
    def in_use(self) -> bool:
        """Always."""
        return True
