"""The device virtio-mouse-pci: nobody moves it.

QEMU: hw/input/virtio-input-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.input_device import InputDevice


class VirtioMousePCI(InputDevice):
    """A mouse."""

    TYPE = "virtio-mouse-pci"
    IS_PROXY = True
    POINTS_AS = "QEMU Virtio Mouse"
