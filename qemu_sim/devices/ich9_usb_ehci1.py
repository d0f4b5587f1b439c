"""The device ich9-usb-ehci1: a USB 2 controller that the guest here has no driver for.

QEMU: hw/usb/hcd-ehci-pci.c
"""

from __future__ import annotations

from qemu_sim.devices.device import Device


class Ich9UsbEhci1(Device):
    """A controller without devices."""

    TYPE = "ich9-usb-ehci1"
