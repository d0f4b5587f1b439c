"""The device virtio-serial-pci: ports that no guest has a driver for.

QEMU: hw/virtio/virtio-serial-pci.c, hw/char/virtio-serial-bus.c
"""

from __future__ import annotations

from qemu_sim.devices.device import Device


class VirtioSerialPci(Device):
    """A controller with one bus of ports, called after its ID."""

    TYPE = "virtio-serial-pci"
    IS_PROXY = True
    MAKES_BUS = "virtio-serial-bus"

    @property
    def bus_slots(self) -> int:
        """How many ports it takes, the one for a console included."""
        slots: int = self.properties.get("max_ports", 31)
        return slots
