"""The device virtserialport: a channel that no guest opens, such as one for a guest agent.

QEMU: hw/char/virtio-console.c, hw/char/virtio-serial-bus.c

A client is told of a guest that opens it (VSERPORT_CHANGE), which none here does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from qemu_sim.devices.character_device import CharacterDevice
from qemu_sim.devices.device import Device
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Parts


class VirtSerialPort(CharacterDevice):
    """Properties in use: chardev, name, nr."""

    TYPE = "virtserialport"
    BUS = "virtio-serial-bus"
    FIRST: ClassVar[int] = 1
    """The lowest number; 0 is for a console."""

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Claim the chardev. Raises QMPError in QEMU's words."""
        super().__init__(id, path, properties, parts)
        if self._chardev is not None:
            self._chardev.quiet = True

    def close(self) -> None:
        """Leave the chardev to another."""
        if self._chardev is not None:
            self._chardev.quiet = False

    def settle(self, others: Sequence[Device], slots: int) -> None:
        """Take a port that is free. Raises QMPError in QEMU's words."""
        name = self.properties.get("name")
        if name and any(other.properties.get("name") == name for other in others):
            raise QMPError(f"virtio-serial-bus: A port already exists by name {name}")
        taken = {other.properties["nr"] for other in others}
        number = self.properties.get("nr")
        if number is None:
            number = next(free for free in range(self.FIRST, slots + 1) if free not in taken)
        if number in taken:
            raise QMPError(f"virtio-serial-bus: A port already exists at id {number}")
        if number >= slots:
            raise QMPError(
                f"virtio-serial-bus: Out-of-range port id specified, max. allowed: {slots - 1}"
            )
        self.properties["nr"] = number
