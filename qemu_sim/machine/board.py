"""What is plugged together in one machine: objects, chardevs, netdevs and devices by ID.

QEMU: system/qdev-monitor.c, net/net.c, chardev/char.c, qom/object_interfaces.c

A machine that waits for a migration takes no host resource that may be handed to it: its
netdevs and devices are made, and opened when the migration has said what travels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qemu_sim import catalog
from qemu_sim.backends.memory_backend import MemoryBackend
from qemu_sim.backends.object import NEWEST, Place
from qemu_sim.errors import DeviceNotFound, QMPError
from qemu_sim.machine.chardevs import Chardevs
from qemu_sim.machine.monitor_object import MODES, MonitorObject
from qemu_sim.machine.netdevs import Netdevs
from qemu_sim.machine.ram import Ram

if TYPE_CHECKING:
    from qemu_sim.backends.chardev import Chardev
    from qemu_sim.backends.netdev import Netdev
    from qemu_sim.backends.object import Object
    from qemu_sim.block.drive import Drive, Drives, Use
    from qemu_sim.block.graph import Graph
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.buses import Buses
    from qemu_sim.machine.failover import Failover
    from qemu_sim.machine.firmware import Firmware
    from qemu_sim.machine.options import MachineOptions
    from qemu_sim.qapi.profile import Profile
    from qemu_sim.virtio.memory import GuestMemory

CheckProperties = Callable[[str, dict[str, Any], bool], dict[str, Any]]

_PERIPHERAL = "/machine/peripheral"
_ANONYMOUS = "/machine/peripheral-anon"
_MAC = 0x525400123456  # QEMU's first; net/net.c (qemu_macaddr_default_if_unset)


class Board:
    """The parts of one machine. `check_properties` types a device's properties."""

    def __init__(
        self,
        options: MachineOptions,
        buses: Buses,
        check_properties: CheckProperties,
        profile: Profile | None = None,
    ) -> None:
        self._options = options
        self.buses = buses
        self._check_properties = check_properties
        self.objects: dict[str, Object] = {}
        self.monitors: list[MonitorObject] = []
        self.devices: list[Device] = []
        self.written: dict[str, Any] = {}  # what clients set of /machine, and only read again
        self._profile = profile
        version = profile.version if profile else NEWEST
        self.chardevs = Chardevs(options, version)
        self._place = Place(self.objects, version)
        self.deferred = options.incoming
        self.netdevs = Netdevs(version, self.chardevs, lambda: self.memory, deferred=self.deferred)
        self.ram = Ram(options, self.objects)
        self.make_firmware: Callable[[], Firmware]  # set by the machine, as the next
        self.make_failover: Callable[[], Failover]
        self.plug_monitor: Callable[[str, str, dict[str, Any]], None]
        self.find_cpu_slot: Callable[[str, Mapping[str, Any]], int]
        self.find_memory_slot: Callable[[int, Mapping[str, Any]], tuple[int, int]]
        self._anonymous = 0
        self._nics = 0

    @cached_property
    def graph(self) -> Graph:
        """The block nodes."""
        from qemu_sim.block.graph import Graph  # noqa: PLC0415 - many machines have no disk

        return Graph(self.objects, active=not self.deferred)

    @cached_property
    def drives(self) -> Drives:
        """What the block nodes are plugged into."""
        from qemu_sim.block.drive import Drives  # noqa: PLC0415 - many machines have no disk

        return Drives(self.graph)

    def stop_waiting(self) -> None:
        """Open from now on what is added: no migration brings it any more."""
        self.deferred = self.chardevs.deferred = self.netdevs.deferred = False

    def activate_images(self, *, active: bool) -> None:
        """Take all images into use, or leave them to the machine on the other side."""
        if "graph" in vars(self):
            from qemu_sim.block import activity  # noqa: PLC0415 - many machines have no disk

            change = activity.activate_all if active else activity.inactivate_all
            change(self.graph)

    # What devices ask for.

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""
        return self.ram.memory

    @property
    def guest_addresses(self) -> tuple[frozenset[str], frozenset[str]]:
        """IPv4 and IPv6 addresses the guest answers for; an empty set means any."""
        return self._options.guest_ipv4, self._options.guest_ipv6

    @cached_property
    def firmware(self) -> Firmware:
        """What boots from a disk."""
        return self.make_firmware()

    @cached_property
    def failover(self) -> Failover:
        """Which NIC stands in for which."""
        return self.make_failover()

    @property
    def has_failover(self) -> bool:
        """Whether any NIC stands in for another."""
        return "failover" in vars(self)

    @property
    def version(self) -> tuple[int, int, int]:
        """The QEMU's."""
        return self._place.version

    @property
    def came_by_migration(self) -> bool:
        """Whether the machine was booted elsewhere, if at all."""
        return self._options.incoming

    @property
    def has_nvdimms(self) -> bool:
        """Whether the machine takes NVDIMMs."""
        return bool(self._options.properties.get("nvdimm"))

    def next_mac(self) -> str:
        """Return the MAC address of the next NIC that names none."""
        taken = {str(device.properties.get("mac", "")).lower() for device in self.devices}
        while True:
            number = _MAC + self._nics
            self._nics += 1
            mac = ":".join(f"{byte:02x}" for byte in number.to_bytes(6, "big"))
            if mac not in taken:
                return mac

    def claim_netdev(self, device_type: str, id: str) -> Netdev:
        """Return the netdev `id` for one NIC. Raises QMPError in QEMU's words."""
        return self.netdevs.claim(device_type, id)

    def claim_chardev(self, device_type: str, id: str) -> Chardev:
        """Return the chardev `id` for one front end. Raises QMPError in QEMU's words."""
        return self.chardevs.claim(device_type, id)

    def linked(self, name: str, kind: str, id: str) -> Object:
        """Return the object that a device's property means. Raises QMPError in QEMU's words."""
        return self._place.linked(name, kind, id)

    def claim_memory(self, name: str, id: str) -> MemoryBackend:
        """Return the memory backend `id` for the property `name` of a device.

        Raises QMPError in QEMU's words.
        """
        found = self._place.linked(name, "memory-backend", id)
        assert isinstance(found, MemoryBackend)
        if found.taken:
            raise QMPError(f"can't use already busy memdev: {id}")
        found.taken = True
        return found

    def claim_drive(self, property_name: str, name: str | None, path: str, use: Use) -> Drive:
        """Return the drive for a device that QEMU calls `path`; see Drives.attach."""
        return self.drives.attach(property_name, name, path, use)

    def release_drive(self, drive: Drive) -> None:
        """Take back what `claim_drive` gave."""
        self.drives.detach(drive)

    # Objects.

    def add_object(self, kind: str, id: str, options: dict[str, Any]) -> None:
        """Make a user-creatable object. Raises QMPError in QEMU's words."""
        made = catalog.find("qemu_sim.backends", "", kind)
        if made is None and kind not in MODES:
            if self._profile is not None and kind not in self._profile.types:
                raise QMPError(f"invalid object type: {kind}")
            raise QMPError(f"object type '{kind}' is not simulated by qemu-sim")
        if self.object(id) is not None:
            raise QMPError(f"attempt to add duplicate property '{id}' to object (type 'container')")
        if made is None:
            self.plug_monitor(kind, id, options)
        else:
            self.objects[id] = made(id, options, self._place)

    def delete_object(self, id: str, *, asking: str) -> None:
        """Remove an object that nothing uses, as the monitor `asking` wants. Raises QMPError."""
        found = self.object(id)
        if found is None:
            raise QMPError(f"object '{id}' not found")
        if isinstance(found, MonitorObject):
            found.delete(asking)
            return
        found.check_deletable()
        del self.objects[id]
        found.close()

    def object(self, id: str) -> Object | MonitorObject | None:
        """Return a user-creatable object, or a monitor; None where there is none."""
        monitor = next((each for each in self.monitors if each.id == id), None)
        return monitor or self.objects.get(id)

    def add_monitor(self, monitor: MonitorObject, chardev: Chardev) -> None:
        """Show a monitor and its chardev."""
        self.monitors.append(monitor)
        self.chardevs.add_monitor(chardev)

    def lead_serial(self, chardev: Chardev) -> None:
        """Have the simulated guest's first serial port lead there, unless it has one."""
        self.chardevs.lead_serial(chardev)

    # Devices.

    async def add_device(
        self, kind: str, id: str | None, given: dict[str, Any], *, hotplug: bool, typed: bool = True
    ) -> Device | None:
        """Make a device and open it; None for one that waits for its standby.

        `typed`: the properties are JSON, not strings of a command line. Raises QMPError in
        QEMU's words.
        """
        from qemu_sim.machine.plugging import Plugging  # noqa: PLC0415 - many have no device

        plugging = Plugging(self, self._options, self._profile, self._check_properties)
        return await plugging.plug(kind, id, given, hotplug=hotplug, typed=typed)

    def delete_device(self, name: str) -> Device:
        """Unplug the device of that ID or QOM path. Raises DeviceNotFound in QEMU's words."""
        device = self.device(name)
        self.buses.check_unplug(device)
        self.devices.remove(device)
        self.buses.unplug(device)
        self.withdraw(device)
        return device

    def device(self, name: str) -> Device:
        """Return the device of that ID or QOM path. Raises DeviceNotFound in QEMU's words."""
        for device in self.devices:
            if name in (device.id, device.path):
                return device
        raise DeviceNotFound(f"Device '{name}' not found")

    def has_type(self, kind: str) -> bool:
        """Whether there is a device of that type."""
        return any(kind == device.TYPE for device in self.devices)

    def has_device(self, name: str) -> bool:
        """Whether there is a device of that ID or QOM path."""
        return any(name in (device.id, device.path) for device in self.devices)

    def withdraw(self, device: Device) -> None:
        """Close a device that is plugged no more, or not yet, and free what it claimed."""
        device.close()
        self.netdevs.unclaim(device.netdev_id or "")
        self.chardevs.unclaim(device.properties.get("chardev", ""))

    def new_path(self, id: str | None) -> str:
        """Return the QOM path of the next device, of that ID or of none."""
        if id is not None:
            return f"{_PERIPHERAL}/{id}"
        self._anonymous += 1
        return f"{_ANONYMOUS}/device[{self._anonymous - 1}]"

    def close(self) -> None:
        """Give everything back, devices first."""
        if self.has_failover:
            self.failover.close()
        for device in reversed(self.devices):
            device.close()
        if "graph" in vars(self):
            self.drives.close()
            self.graph.close()
        self.netdevs.close()
        self.chardevs.close()
        for made in self.objects.values():
            made.close()
        self.ram.close()
