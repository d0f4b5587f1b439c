"""The device ivshmem-plain: memory that several guests share. The simulated one leaves it alone.

QEMU: hw/misc/ivshmem-pci.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.devices.device import Device, Parts
from qemu_sim.errors import QMPError


class IvshmemPlain(Device):
    """Holds its memory backend as long as it is plugged.

    Only a master may migrate: its memory is then the one to copy.
    """

    TYPE = "ivshmem-plain"

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Claim the memory. Raises QMPError in QEMU's words."""
        super().__init__(id, path, properties, parts)
        memory = properties.get("memdev")
        if memory is None:
            raise QMPError("You must specify a 'memdev'")
        self._memory = parts.claim_memory("memdev", memory)

    @property
    def migration_blocker(self) -> str | None:
        """Why a peer cannot be moved."""
        if self.properties.get("master") == "on":
            return None
        return "Migration is disabled when using feature 'peer mode' in device 'ivshmem'"

    def close(self) -> None:
        """Give the memory back."""
        self._memory.taken = False
