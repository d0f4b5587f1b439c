"""The device scsi-hd: a disk that no guest uses.

QEMU: hw/scsi/scsi-disk.c
"""

from __future__ import annotations

from qemu_sim.devices.block_device import BlockDevice


class SCSIHardDisk(BlockDevice):
    """A disk behind a SCSI adapter."""

    TYPE = "scsi-hd"
    BUS = "SCSI"
