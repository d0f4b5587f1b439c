"""The device usb-mouse: a mouse that nobody uses.

QEMU: hw/usb/dev-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.device import Device


class UsbMouse(Device):
    """A mouse on a USB controller."""

    TYPE = "usb-mouse"
    BUS = "usb-bus"
