"""The buses of a machine: where a device may be plugged, and when.

QEMU: system/qdev-monitor.c (qdev_find_recursive, qbus_find), hw/pci/pci.c, hw/ide/ide-bus.c

`pc` has pci.0, which takes devices at any time; `q35` has pcie.0, which takes them at the
start only; bridges and controllers make more, which bear their IDs. IDE disks go to the buses
of the chipset first. CPUs and DIMMs go on a bus without a name, as it is none. The chipset's
isa.0 takes devices at the start only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.pci_functions import Occupant

_PCI = "PCI"  # PCI Express is PCI, too
_IDE = "IDE"
_PLUGGABLE = (_PCI, "usb-bus", "SCSI", "virtio-serial-bus", "ccid-bus")


class Bus:
    """One bus; `kind` is its QOM type, `slots` how many devices it takes.

    `maker` is the device that it belongs to, None for a bus of the board.
    """

    __slots__ = ("devices", "functions", "hotplug", "kind", "maker", "name", "slots")

    def __init__(
        self, name: str, kind: str, *, hotplug: bool, slots: int = 0, maker: Device | None = None
    ) -> None:
        self.name = name
        self.kind = kind
        self.hotplug = hotplug
        self.slots = slots
        self.maker = maker
        self.devices: list[Device] = []
        self.functions: dict[int, Occupant] = {}  # what is where on PCI, the chipset too

    @property
    def is_pci(self) -> bool:
        """Whether PCI devices go there."""
        return self.kind.startswith(_PCI)

    @property
    def record(self) -> str:
        """Where a device was plugged that was recorded as one here; see qapi/plugged.py."""
        if self.kind == _PCI:
            return "pc"
        return "port" if self.is_pci and self.maker is not None else "q35"


class Buses:
    """The buses of one machine type."""

    def __init__(self, machine_type: str) -> None:
        self._buses: dict[str, Bus] = {}
        self._add(Bus("", "none", hotplug=True))
        is_pc = machine_type == "pc" or "i440fx" in machine_type
        if "q35" in machine_type or is_pc:
            self._add(Bus("isa.0", "ISA", hotplug=False))
        if "q35" in machine_type:
            self._add(Bus("pcie.0", "PCIE", hotplug=False))
            for number in reversed(range(6)):  # QEMU looks at the last one first
                self._add(Bus(f"ide.{number}", _IDE, hotplug=False, slots=1))
        elif is_pc:
            self._add(Bus("pci.0", _PCI, hotplug=True))
            for number in reversed(range(2)):
                self._add(Bus(f"ide.{number}", _IDE, hotplug=False, slots=2))

    def __iter__(self) -> Iterator[Bus]:
        return iter(self._buses.values())

    @property
    def bare(self) -> Bus:
        """The bus without a name, of devices that are on none."""
        return self._buses[""]

    @property
    def pci_root(self) -> Bus | None:
        """The PCI bus of the board, if it has one."""
        return self._buses.get("pcie.0") or self._buses.get("pci.0")

    def of(self, device: Device) -> Bus:
        """Return the bus that a device is on."""
        return next(bus for bus in self if device in bus.devices)

    def behind(self, device: Device) -> list[Bus]:
        """Return the buses that a device makes."""
        return [bus for bus in self if bus.maker is device]

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

    def check_room(self, bus: Bus) -> None:
        """Raise QMPError in QEMU's words if an IDE bus is full."""
        if bus.kind == _IDE and len(bus.devices) >= bus.slots:
            raise QMPError(_full(bus))

    def check_unplug(self, device: Device) -> None:
        """Raise QMPError in QEMU's words if `device` stays as long as the machine."""
        bus = self.of(device)
        if not bus.hotplug:
            raise QMPError(f"Bus '{bus.name}' does not support hotplugging")
        if device.STAYS is not None:
            raise QMPError(device.STAYS)

    def _first(self, kind: str, wanted: str) -> Bus:
        for bus in self:
            if bus.kind.startswith(wanted):
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
        """Put a device into a bus; it brings the buses that it makes."""
        bus.devices.append(device)
        for suffix, kind in device.buses:
            name = f"{device.id}{suffix}" if device.id else self._free_name(kind.lower())
            hotplug = kind.startswith(_PLUGGABLE) and device.properties.get("hotplug") is not False
            self._add(Bus(name, kind, hotplug=hotplug, slots=device.bus_slots, maker=device))

    def unplug(self, device: Device) -> None:
        """Take a device, and the buses it made, out again."""
        bus = self.of(device)
        bus.devices.remove(device)
        if device.place is not None:
            bus.functions.pop(device.place)
        for made in self.behind(device):
            del self._buses[made.name]

    def _free_name(self, stem: str) -> str:
        number = 0
        while f"{stem}.{number}" in self._buses:
            number += 1
        return f"{stem}.{number}"

    def _add(self, bus: Bus) -> None:
        self._buses[bus.name] = bus


def _full(bus: Bus) -> str:
    if bus.slots > 1:
        return f"IDE unit {bus.slots - 1} is in use"
    return f"Can't create IDE unit {bus.slots}, bus supports only {bus.slots} units"
