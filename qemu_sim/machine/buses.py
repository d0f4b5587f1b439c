"""PCI buses of a machine: where a device may be plugged, and when.

QEMU: system/qdev-monitor.c (qdev_find_recursive, qbus_find), hw/pci/pci.c

`pc` has pci.0, which takes devices at any time; `q35` has pcie.0, which takes them at the
start only; each pcie-root-port makes one more bus, of its ID, for one device.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device

ROOT_PORT = "pcie-root-port"


@dataclass(slots=True)
class Bus:
    """One bus; `slots` is how many devices it takes."""

    name: str
    hotplug: bool
    slots: int
    devices: list[Device] = field(default_factory=list)


class Buses:
    """The buses of one machine type."""

    def __init__(self, machine_type: str) -> None:
        self._buses: dict[str, Bus] = {}
        if "q35" in machine_type:
            self._add(Bus("pcie.0", hotplug=False, slots=32))
        elif machine_type == "pc" or "i440fx" in machine_type:
            self._add(Bus("pci.0", hotplug=True, slots=32))

    def find(self, kind: str, name: str | None, *, hotplug: bool) -> Bus:
        """Return the bus for a device of type `kind`. Raises QMPError in QEMU's words."""
        if name is None:
            bus = next(iter(self._buses.values()), None)
            if bus is None:
                raise QMPError(f"No 'PCI' bus found for device '{kind}'")
        elif name in self._buses:
            bus = self._buses[name]
        else:
            raise QMPError(f"Bus '{name}' not found")
        if hotplug and not bus.hotplug:
            raise QMPError(f"Bus '{bus.name}' does not support hotplugging")
        if len(bus.devices) >= bus.slots:
            raise QMPError(f"PCI: no slot/function available for {kind}, all in use or reserved")
        return bus

    def plug(self, bus: Bus, device: Device) -> None:
        """Put a device into a bus; a root port makes a bus of its own."""
        bus.devices.append(device)
        if device.TYPE == ROOT_PORT and device.id is not None:
            self._add(Bus(device.id, hotplug=True, slots=1))

    def unplug(self, device: Device) -> None:
        """Take a device, and the bus it made, out again."""
        for bus in self._buses.values():
            if device in bus.devices:
                bus.devices.remove(device)
        if device.TYPE == ROOT_PORT and device.id is not None:
            del self._buses[device.id]

    def _add(self, bus: Bus) -> None:
        self._buses[bus.name] = bus
