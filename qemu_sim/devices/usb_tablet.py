"""The device usb-tablet: a tablet that nobody uses.

QEMU: hw/usb/dev-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.device import Device


class UsbTablet(Device):
    """A tablet on a USB controller."""

    TYPE = "usb-tablet"
    BUS = "usb-bus"
