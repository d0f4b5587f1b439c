"""The device scsi-cd: a CD drive that no guest uses.

QEMU: hw/scsi/scsi-disk.c
"""

from __future__ import annotations

from qemu_sim.devices.block_device import BlockDevice


class SCSICDDrive(BlockDevice):
    """A CD drive behind a SCSI adapter; it may be empty."""

    TYPE = "scsi-cd"
    BUS = "SCSI"
    REMOVABLE = True
