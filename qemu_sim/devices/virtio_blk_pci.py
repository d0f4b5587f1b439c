"""The device virtio-blk-pci: a disk that no guest uses.

QEMU: hw/virtio/virtio-blk-pci.c, hw/block/virtio-blk.c
"""

from __future__ import annotations

from qemu_sim.devices.block_device import BlockDevice


class VirtioBlkPCI(BlockDevice):
    """A virtio disk behind its PCI proxy."""

    TYPE = "virtio-blk-pci"
    PROPERTIES_OF = "virtio-blk-device"
    IS_PROXY = True
