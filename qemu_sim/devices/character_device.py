"""A device that has a chardev behind it and does nothing with it by itself.

QEMU: hw/core/qdev-properties-system.c (set_chr)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.devices.device import Device

if TYPE_CHECKING:
    from qemu_sim.devices.device import Parts


class CharacterDevice(Device):
    """Holds its chardev, if it has one, as long as it is plugged."""

    OPENS_EARLY = True

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Claim the chardev. Raises QMPError in QEMU's words."""
        super().__init__(id, path, properties, parts)
        name = properties.get("chardev")
        self._chardev = parts.claim_chardev(self.TYPE, name) if name else None

    async def open(self) -> None:
        """Open the chardev, if that is not done. Raises QMPError in QEMU's words."""
        if self._chardev is not None and not self._chardev.is_open:
            await self._chardev.open()
