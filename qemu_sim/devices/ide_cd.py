"""The device ide-cd: a CD drive that no guest uses.

QEMU: hw/ide/ide-dev.c
"""

from __future__ import annotations

from qemu_sim.devices.block_device import BlockDevice


class IDECDDrive(BlockDevice):
    """A CD drive on an IDE or AHCI port; it may be empty."""

    TYPE = "ide-cd"
    BUS = "IDE"
    REMOVABLE = True
