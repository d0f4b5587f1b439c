"""The device virtio-rng-pci: random numbers that no guest asks for.

QEMU: hw/virtio/virtio-rng.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.devices.device import Device, Parts


class VirtioRngPci(Device):
    """Properties in use: rng."""

    TYPE = "virtio-rng-pci"
    IS_PROXY = True

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Find the backend; QEMU makes one where none is named. Raises QMPError."""
        super().__init__(id, path, properties, parts)
        if "rng" in properties:
            parts.linked("rng", "rng-backend", properties["rng"])
