"""What a person would use. There is none here, and the guest has no driver for it.

QEMU: ui/input.c (qmp_query_mice)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from qemu_sim.devices.device import Device

_USB = "usb-bus"


class InputDevice(Device):
    """A keyboard, or what query-mice calls `POINTS_AS`."""

    POINTS_AS: ClassVar[str | None] = None
    IS_ABSOLUTE: ClassVar[bool] = False

    _port = ""

    @property
    def section(self) -> str:
        """On a USB bus, where it is: libvirt gives other IDs to what it restores."""
        if not self._port:
            return super().section
        return f"/machine/{self.properties.get('bus', 'usb')}/{self._port}/{self.TYPE}"

    def settle(self, others: Sequence[Device], slots: int) -> None:
        """Take the port that is given, or the next one."""
        del slots
        if self.BUS == _USB:
            self._port = self.properties.get("port") or str(len(others) + 1)
