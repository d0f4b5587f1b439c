"""The device ide-hd: a disk that no guest uses.

QEMU: hw/ide/ide-dev.c
"""

from __future__ import annotations

from qemu_sim.devices.block_device import BlockDevice


class IDEHardDisk(BlockDevice):
    """A disk on an IDE or AHCI port."""

    TYPE = "ide-hd"
    BUS = "IDE"
    ALWAYS_WRITES = True
    NO_DRIVE = "No drive specified"
