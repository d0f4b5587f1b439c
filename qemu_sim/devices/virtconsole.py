"""The device virtconsole: a console that no guest opens.

QEMU: hw/char/virtio-console.c
"""

from __future__ import annotations

from qemu_sim.devices.virtserialport import VirtSerialPort


class VirtConsole(VirtSerialPort):
    """A port that is number 0 if that is free."""

    TYPE = "virtconsole"
    FIRST = 0
