"""The device ich9-usb-ehci1: a USB 2 controller that the guest here has no driver for.

QEMU: hw/usb/hcd-ehci-pci.c
"""

from __future__ import annotations

from qemu_sim.devices.device import Device


class Ich9UsbEhci1(Device):
    """A controller with one bus, called after its ID."""

    TYPE = "ich9-usb-ehci1"
    MAKES_BUS = "usb-bus"
