"""The device pc-dimm: RAM that is plugged. The simulated guest leaves it alone.

QEMU: hw/mem/pc-dimm.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qemu_sim.devices.device import Device
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Parts


class PCDIMM(Device):
    """Holds a memory backend, at an address and in a slot that the machine gives it."""

    TYPE = "pc-dimm"
    KIND: ClassVar[str] = "dimm"
    """What it is called in MemoryDeviceInfo."""
    BUS = "none"

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Take the backend and a place. Raises QMPError in QEMU's words."""
        super().__init__(id, path, properties, parts)
        backend = properties.get("memdev")
        if backend is None:
            raise QMPError("'memdev' property must be set")
        self._backend = parts.claim_memory("memdev", backend)
        self.node: int = properties.get("node", 0)
        try:
            self.size = self.usable(self._backend.memory.size)
            self.address, self.slot = parts.find_memory_slot(self.size, properties)
        except QMPError:
            self.close()
            raise

    def usable(self, size: int) -> int:
        """Return how much of a backend of `size` bytes the guest sees. Raises QMPError."""
        return size

    def values(self) -> dict[str, Any]:
        """Return where it is."""
        return {
            "addr": self.address,
            "slot": self.slot,
            "node": self.node,
            "size": self.size,
        }

    def describe(self) -> dict[str, Any]:
        """Return the PCDIMMDeviceInfo."""
        return {
            **({} if self.id is None else {"id": self.id}),
            **self.values(),
            "memdev": f"/objects/{self._backend.id}",
            "hotplugged": self.hotplugged,
            "hotpluggable": True,
        }

    def close(self) -> None:
        """Give the backend back."""
        self._backend.taken = False
