"""The device ich9-usb-uhci1: a USB 1 companion that the guest here has no driver for.

QEMU: hw/usb/hcd-uhci.c
"""

from __future__ import annotations

from qemu_sim.devices.device import Device


class Ich9UsbUhci1(Device):
    """A controller without devices."""

    TYPE = "ich9-usb-uhci1"
