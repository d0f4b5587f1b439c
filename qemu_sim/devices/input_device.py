"""What a person would use. There is none here, and the guest has no driver for it.

QEMU: ui/input.c (qmp_query_mice)
"""

from __future__ import annotations

from typing import ClassVar

from qemu_sim.devices.device import Device


class InputDevice(Device):
    """A keyboard, or what query-mice calls `POINTS_AS`."""

    POINTS_AS: ClassVar[str | None] = None
    IS_ABSOLUTE: ClassVar[bool] = False
