"""The device virtio-tablet-pci: nobody touches it.

QEMU: hw/input/virtio-input-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.virtio_input import VirtioInput


class VirtioTabletPCI(VirtioInput):
    """A tablet."""

    TYPE = "virtio-tablet-pci"
    POINTS_AS = "QEMU Virtio Tablet"
    IS_ABSOLUTE = True
