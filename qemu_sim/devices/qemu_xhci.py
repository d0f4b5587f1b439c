"""The device qemu-xhci: a USB 3 controller that the guest here has no driver for.

QEMU: hw/usb/hcd-xhci-pci.c
"""

from __future__ import annotations

from qemu_sim.devices.device import Device


class QemuXhci(Device):
    """A controller with one bus, called after its ID."""

    TYPE = "qemu-xhci"
    MAKES_BUS = "usb-bus"
