"""The device virtio-keyboard-pci: its keys reach nobody.

QEMU: hw/input/virtio-input-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.virtio_input import VirtioInput


class VirtioKeyboardPCI(VirtioInput):
    """A keyboard."""

    TYPE = "virtio-keyboard-pci"
