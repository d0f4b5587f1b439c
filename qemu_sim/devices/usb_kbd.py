"""The device usb-kbd: a keyboard that nobody uses.

QEMU: hw/usb/dev-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.device import Device


class UsbKbd(Device):
    """A keyboard on a USB controller."""

    TYPE = "usb-kbd"
    BUS = "usb-bus"
