"""The device piix3-usb-uhci: a USB 1 controller that the guest here has no driver for.

QEMU: hw/usb/hcd-uhci.c
"""

from __future__ import annotations

from qemu_sim.devices.device import Device


class Piix3UsbUhci(Device):
    """A controller with one bus, called after its ID."""

    TYPE = "piix3-usb-uhci"
    MAKES_BUS = "usb-bus"
