"""The device virtio-scsi-pci: a SCSI adapter that no guest uses.

QEMU: hw/virtio/virtio-scsi-pci.c, hw/scsi/virtio-scsi.c
"""

from __future__ import annotations

from qemu_sim.devices.device import Device


class VirtioSCSIPCI(Device):
    """An adapter with one SCSI bus, called after its ID."""

    TYPE = "virtio-scsi-pci"
    IS_PROXY = True
    MAKES_BUS = "SCSI"
