"""The device usb-kbd: a keyboard that nobody uses.

QEMU: hw/usb/dev-hid.c
"""

from __future__ import annotations

from qemu_sim.devices.input_device import InputDevice


class UsbKbd(InputDevice):
    """A keyboard on a USB controller."""

    TYPE = "usb-kbd"
    BUS = "usb-bus"
