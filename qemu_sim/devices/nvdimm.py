"""The device nvdimm: memory that outlives a guest, plugged. The simulated guest leaves it alone.

QEMU: hw/mem/nvdimm.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.devices.pc_dimm import PCDIMM
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Parts

_LEAST_LABEL = 128 << 10
_ALIGNMENT = 2 << 20  # of what the guest sees


class NVDIMM(PCDIMM):
    """As a DIMM; the end of the backend holds the label, if there is one."""

    TYPE = "nvdimm"
    KIND = "nvdimm"
    STAYS = "nvdimm device hot unplug is not supported yet."

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Take the backend and a place. Raises QMPError in QEMU's words."""
        self._label: int = properties.get("label-size", 0)
        if 0 < self._label < _LEAST_LABEL:
            raise QMPError(
                f"Property 'nvdimm.label-size' ({self._label:#x}) is required at least"
                f" {_LEAST_LABEL:#x}"
            )
        if not parts.has_nvdimms:
            raise QMPError("nvdimm is not enabled: missing 'nvdimm' in '-M'")
        super().__init__(id, path, properties, parts)

    def usable(self, size: int) -> int:
        """Return how much of a backend of `size` bytes the guest sees. Raises QMPError."""
        left = (size - self._label) // _ALIGNMENT * _ALIGNMENT
        if left <= 0:
            raise QMPError(
                f"the size of memdev {self.properties['memdev']} ({size:#x}) is too small to"
                f" contain nvdimm label ({self._label:#x}) and aligned PMEM ({_ALIGNMENT:#x})"
            )
        return left
