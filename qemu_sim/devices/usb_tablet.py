"""The device usb-tablet: a tablet that nobody uses.

QEMU: hw/usb/dev-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.input_device import InputDevice


class UsbTablet(InputDevice):
    """A tablet on a USB controller."""

    TYPE = "usb-tablet"
    BUS = "usb-bus"
    POINTS_AS = "QEMU HID Tablet"
    IS_ABSOLUTE = True
