"""The buses of a machine: where a device may be plugged, and when.

QEMU: system/qdev-monitor.c (qdev_find_recursive, qbus_find), hw/pci/pci.c, hw/ide/ide-bus.c

`pc` has pci.0, which takes devices at any time; `q35` has pcie.0, which takes them at the
start only; each pcie-root-port makes one more bus, of its ID, for one device, and a
pcie-pci-bridge one for many. IDE disks go to the buses of the chipset, SCSI disks to the
one that their adapter makes; USB devices and serial ports likewise. CPUs and DIMMs go on a
bus without a name, as it is none. The chipset's isa.0 takes devices at the start only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device

# What makes a bus that bears its ID: the bus's type, and how many devices it takes.
_BRIDGES = {"pcie-root-port": ("PCIE", 1), "pcie-pci-bridge": ("PCI", 32)}
_SLOTTED = ("PCI", "IDE")  # on other buses a device finds its place itself


class Bus:
    """One bus; `kind` is its QOM type, `slots` how many devices it takes."""

    __slots__ = ("devices", "hotplug", "kind", "name", "slots")

    def __init__(self, name: str, kind: str, *, hotplug: bool, slots: int) -> None:
        self.name = name
        self.kind = kind
        self.hotplug = hotplug
        self.slots = slots
        self.devices: list[Device] = []


class Buses:
    """The buses of one machine type."""

    def __init__(self, machine_type: str) -> None:
        self._buses: dict[str, Bus] = {}
        self._made: dict[Device, str] = {}
        self._add(Bus("", "none", hotplug=True, slots=0))
        if "q35" in machine_type or machine_type == "pc" or "i440fx" in machine_type:
            self._add(Bus("isa.0", "ISA", hotplug=False, slots=0))
        if "q35" in machine_type:
            self._add(Bus("pcie.0", "PCIE", hotplug=False, slots=32))
            for number in reversed(range(6)):  # QEMU looks at the last one first
                self._add(Bus(f"ide.{number}", "IDE", hotplug=False, slots=1))
        elif machine_type == "pc" or "i440fx" in machine_type:
            self._add(Bus("pci.0", "PCI", hotplug=True, slots=32))
            for number in reversed(range(2)):
                self._add(Bus(f"ide.{number}", "IDE", hotplug=False, slots=2))

    def find(self, kind: str, name: str | None, wanted: str) -> Bus:
        """Return the bus for a device of type `kind`, which needs a bus of type `wanted`.

        Raises QMPError in QEMU's words.
        """
        return self._first(kind, wanted) if name is None else self._named(kind, name, wanted)

    def check_hotplug(self, kind: str, bus: Bus) -> None:
        """Raise QMPError in QEMU's words if what is on a bus was there from the start."""
        from qemu_sim.machine import pluggable  # noqa: PLC0415 - not at a start

        pluggable.check_moves(kind)
        if not bus.hotplug:
            raise QMPError(f"Bus '{bus.name}' does not support hotplugging")

    def check_room(self, kind: str, bus: Bus) -> None:
        """Raise QMPError in QEMU's words if a bus is full."""
        if bus.kind.startswith(_SLOTTED) and len(bus.devices) >= bus.slots:
            raise QMPError(_full(kind, bus))

    def check_unplug(self, device: Device) -> None:
        """Raise QMPError in QEMU's words if `device` stays as long as the machine."""
        for bus in self._buses.values():
            if device in bus.devices and not bus.hotplug:
                raise QMPError(f"Bus '{bus.name}' does not support hotplugging")

    def _first(self, kind: str, wanted: str) -> Bus:
        for bus in self._buses.values():
            if bus.kind.startswith(wanted):  # PCI Express is PCI, too
                return bus
        raise QMPError(f"No '{wanted}' bus found for device '{kind}'")

    def _named(self, kind: str, name: str, wanted: str) -> Bus:
        bus = self._buses.get(name)
        if bus is None:
            raise QMPError(f"Bus '{name}' not found")
        if not bus.kind.startswith(wanted):
            raise QMPError(f"Device '{kind}' can't go on {bus.kind} bus")
        return bus

    def plug(self, bus: Bus, device: Device) -> None:
        """Put a device into a bus; a root port makes a bus of its own."""
        bus.devices.append(device)
        if device.TYPE in _BRIDGES and device.id is not None:
            kind, slots = _BRIDGES[device.TYPE]
            self._add(Bus(device.id, kind, hotplug=True, slots=slots))
        elif device.MAKES_BUS is not None:
            name = f"{device.id}.0" if device.id else self._free_name(device.MAKES_BUS.lower())
            self._add(Bus(name, device.MAKES_BUS, hotplug=True, slots=device.bus_slots))
            self._made[device] = name

    def unplug(self, device: Device) -> None:
        """Take a device, and the bus it made, out again."""
        for bus in self._buses.values():
            if device in bus.devices:
                bus.devices.remove(device)
        if device.TYPE in _BRIDGES and device.id is not None:
            del self._buses[device.id]
        if device in self._made:
            del self._buses[self._made.pop(device)]

    def _free_name(self, stem: str) -> str:
        number = 0
        while f"{stem}.{number}" in self._buses:
            number += 1
        return f"{stem}.{number}"

    def _add(self, bus: Bus) -> None:
        self._buses[bus.name] = bus


def _full(kind: str, bus: Bus) -> str:
    if bus.kind == "IDE":
        if bus.slots > 1:
            return f"IDE unit {bus.slots - 1} is in use"
        return f"Can't create IDE unit {bus.slots}, bus supports only {bus.slots} units"
    return f"PCI: no slot/function available for {kind}, all in use or reserved"
