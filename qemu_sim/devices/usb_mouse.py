"""The device usb-mouse: a mouse that nobody uses.

QEMU: hw/usb/dev-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.input_device import InputDevice


class UsbMouse(InputDevice):
    """A mouse on a USB controller."""

    TYPE = "usb-mouse"
    BUS = "usb-bus"
    POINTS_AS = "QEMU HID Mouse"
