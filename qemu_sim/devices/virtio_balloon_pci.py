"""The device virtio-balloon-pci: it takes the guest no memory, as the guest has no driver for it.

QEMU: hw/virtio/virtio-balloon.c, system/balloon.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.devices.device import Device, Parts
from qemu_sim.errors import QMPError


class VirtioBalloonPci(Device):
    """A balloon that stays empty."""

    TYPE = "virtio-balloon-pci"

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Raises QMPError in QEMU's words if there is one already."""
        super().__init__(id, path, properties, parts)
        if parts.has_type(self.TYPE):
            raise QMPError("Only one balloon device is supported")
