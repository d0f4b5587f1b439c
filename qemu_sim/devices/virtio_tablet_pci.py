"""The device virtio-tablet-pci: nobody touches it.

QEMU: hw/input/virtio-input-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.input_device import InputDevice


class VirtioTabletPCI(InputDevice):
    """A tablet."""

    TYPE = "virtio-tablet-pci"
    IS_PROXY = True
    POINTS_AS = "QEMU Virtio Tablet"
    IS_ABSOLUTE = True
