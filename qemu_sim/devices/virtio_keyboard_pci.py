"""The device virtio-keyboard-pci: its keys reach nobody.

QEMU: hw/input/virtio-input-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.input_device import InputDevice


class VirtioKeyboardPCI(InputDevice):
    """A keyboard."""

    TYPE = "virtio-keyboard-pci"
    IS_PROXY = True
