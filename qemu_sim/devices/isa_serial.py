"""The device isa-serial: a serial port; the simulated guest writes to the first one.

QEMU: hw/char/serial-isa.c
"""

from __future__ import annotations

from collections.abc import Sequence

from qemu_sim.devices.character_device import CharacterDevice
from qemu_sim.devices.device import Device
from qemu_sim.errors import QMPError

_MOST = 4


class IsaSerial(CharacterDevice):
    """Properties in use: chardev, index."""

    TYPE = "isa-serial"
    BUS = "ISA"

    def settle(self, others: Sequence[Device], slots: int) -> None:
        """Be the port of a number. Raises QMPError in QEMU's words."""
        del slots
        index = self.properties.get("index", len(others))
        if index >= _MOST:
            raise QMPError(f"Max. supported number of ISA serial ports is {_MOST}.")
        self.properties["index"] = index

    async def open(self) -> None:
        """Open the chardev, and let the guest write to it."""
        await super().open()
        if self._chardev is not None:
            self.parts.lead_serial(self._chardev)
