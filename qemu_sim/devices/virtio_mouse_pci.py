"""The device virtio-mouse-pci: nobody moves it.

QEMU: hw/input/virtio-input-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.virtio_input import VirtioInput


class VirtioMousePCI(VirtioInput):
    """A mouse."""

    TYPE = "virtio-mouse-pci"
    POINTS_AS = "QEMU Virtio Mouse"
