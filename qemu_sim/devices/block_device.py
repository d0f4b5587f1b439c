"""A disk or a CD drive. The simulated guest does no I/O on it.

QEMU: hw/block/block.c, hw/block/virtio-blk.c, hw/ide/ide-dev.c, hw/scsi/scsi-disk.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qemu_sim.devices.device import Device
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Parts


class BlockDevice(Device):
    """Holds its drive as long as it is plugged."""

    PROPERTIES_OF: ClassVar[str | None] = None
    """The type that an error names as the property's owner, where it is not TYPE."""
    REMOVABLE: ClassVar[bool] = False
    NO_DRIVE: ClassVar[str] = "drive property not set"

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Claim the drive. Raises QMPError in QEMU's words."""
        super().__init__(id, path, properties, parts)
        name = properties.get("drive") or None
        if name is None and not self.REMOVABLE:
            raise QMPError(self.NO_DRIVE)
        self._drive = parts.claim_drive(
            f"{self.PROPERTIES_OF or self.TYPE}.drive",
            name,
            f"{path}/virtio-backend" if self.IS_PROXY else id or path,
            removable=self.REMOVABLE,
            shares=properties.get("share-rw", False),
        )

    def close(self) -> None:
        """Give the drive back."""
        self.parts.release_drive(self._drive)
