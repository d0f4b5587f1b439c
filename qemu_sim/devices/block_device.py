"""A disk or a CD drive. The simulated guest boots from it, if it can, and does no more I/O.

QEMU: hw/block/block.c, hw/block/virtio-blk.c, hw/ide/ide-dev.c, hw/scsi/scsi-disk.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qemu_sim.block.drive import Use
from qemu_sim.devices.device import Device
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Parts
    from qemu_sim.guest.page_writer import PageWriter


class BlockDevice(Device):
    """Holds its drive as long as it is plugged."""

    PROPERTIES_OF: ClassVar[str | None] = None
    """The type that an error names as the property's owner, where it is not TYPE."""
    REMOVABLE: ClassVar[bool] = False
    ALWAYS_WRITES: ClassVar[bool] = False
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
            Use(self.REMOVABLE, properties.get("share-rw", False), self.ALWAYS_WRITES),
        )
        self._program: PageWriter | None = None

    def run(self) -> None:
        """Go on with the program that was booted from here; boot it the first time."""
        if self._program is None and not self.parts.came_by_migration and self._drive.node:
            self._program = self.parts.firmware.boot(self._drive.node)
        if self._program is not None:
            self._program.run()

    def halt(self) -> None:
        """Stop the program."""
        if self._program is not None:
            self._program.halt()

    def reset(self) -> None:
        """Start the program anew."""
        if self._program is not None:
            self._program.reset()

    def save(self) -> dict[str, Any]:
        """Return the state of the program that runs from here."""
        return {} if self._program is None else {"program": self._program.save()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over the program that runs from here; another may have run before."""
        if self._program is not None:
            self._program.close()
            self._program = None
        if "program" in state:
            self._program = self.parts.firmware.resume(state["program"])

    def close(self) -> None:
        """End the program, and give the drive back."""
        if self._program is not None:
            self._program.close()
        self.parts.release_drive(self._drive)
