"""The object tree of a machine, as a client walks it: containers, devices, buses, objects.

QEMU: qom/object.c (object_resolve_path, object_get_canonical_path), hw/core/qdev.c

    /chardevs/ID  /objects/ID
    /machine/peripheral/ID  /machine/peripheral-anon/device[N]  .../virtio-backend
    /machine/q35/pcie.0  /machine/peripheral/PORT/PORT        buses
    /machine/unattached/device[N]                             CPUs

A tree is made from the board when it is asked for, and holds no state of its own. What no
client has plugged, such as the chipset and memory regions, is there as an idle QEMU showed
it. Which properties an object has is what the recorded QEMU says of its type. A value that
QEMU computes while it makes the object, such as a PCI address, is not simulated, and asking
for it is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.backends.memory_backend import MemoryBackend
from qemu_sim.errors import DeviceNotFound, QMPError
from qemu_sim.machine import recorded_tree
from qemu_sim.machine.cpu_properties import cpu_type, cpu_values, has_cpus
from qemu_sim.machine.plugged_tree import PluggedTree
from qemu_sim.machine.qom_node import Node, resolve
from qemu_sim.machine.type_properties import TypeProperties, default_values
from qemu_sim.qapi import idle
from qemu_sim.qapi.glib_order import ordered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qemu_sim.backends.object import Object
    from qemu_sim.devices.device import Device
    from qemu_sim.machine.cpus import CPU
    from qemu_sim.machine.machine import Machine
    from qemu_sim.qapi.pool import Pool
    from qemu_sim.qapi.profile import Profile

_CONTAINER = "container"
_MONITOR = "monitor-qmp"  # monitors were no objects before there was such a type
_RAM = "memory-backend-ram"
_CHILD = "child<"
_LINK = "link<"
_CHARDEVS = "/chardevs/"  # their properties are only read
_ALWAYS_THERE = (8, 0)  # newer than 7.2: the root's containers exist even when they are empty

# The PCI host bridge of a machine type: its name in /machine, its type, its bus's name and type.
_PCI_HOSTS = {
    "q35": ("q35", "q35-pcihost", "pcie.0", "PCIE"),
    "i440fx": ("i440fx", "i440FX-pcihost", "pci.0", "PCI"),
}

# The client's options say what they are.
_OF_OPTIONS = frozenset({"memory", "memory-backend", "smp"})

# Of the disk, the bus, or what else is in the machine that was recorded.
_OF_OTHERS = frozenset(
    {"acpi-pcihp-bsel", "cyls", "device_id", "heads", "lcyls", "lheads", "lsecs", "scsi-id", "secs"}
)

# What QEMU lists with a device's properties and lets clients write at any time.
_WRITABLE = frozenset({"bootindex", "guest-stats-polling-interval"})
# What no client may write at any time.
_FIXED = frozenset({"type", "hotplugged", "hotpluggable", "parent_bus", "busnr", "guest-stats"})


class ObjectTree:
    """The objects of one machine at this moment."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._profile: Profile = machine.profile
        self._types = TypeProperties(machine)
        self._root = Node("/", _CONTAINER)
        self._cpus: dict[str, CPU] = {}
        self._grow()

    # What clients ask.

    def find(self, path: str) -> Node:
        """Return the object at an absolute or partial path.

        Raises DeviceNotFound, also where several objects match.
        """
        found = resolve(self._root, path)
        if len(found) != 1:
            raise DeviceNotFound(f"Device '{path}' not found")
        return found[0]

    def find_unambiguous(self, path: str) -> Node:
        """Return the object like `find`, but say so where several match (QMPError)."""
        if len(resolve(self._root, path)) > 1:
            raise QMPError(f"Path '{path}' is ambiguous")
        return self.find(path)

    def types(self) -> set[str]:
        """Return the types of all objects."""
        nodes = [self._root]
        for node in nodes:
            nodes.extend(node.children.values())
        return {node.qom_type for node in nodes}

    def properties(self, node: Node) -> dict[str, str]:
        """Return the types of an object's properties by name."""
        listed = self._types.properties(node) if node.kinds is None else node.kinds
        names = reversed(ordered(node.children)) if self._is_open(node) else node.children
        children = {name: f"child<{node.children[name].qom_type}>" for name in names}
        return (
            {"type": "string"}
            # Children are those there are: a type lists some that it drops again.
            | {
                name: kind
                for name, kind in listed.items()
                if not kind.startswith(_CHILD) or (name in children and node.kinds is not None)
            }
            | children
        )

    def _is_open(self, node: Node) -> bool:
        """Whether clients put children here, so that they stand in the order of QEMU's table."""
        return node.qom_type == _CONTAINER and node is not self._root and node.kinds is None

    def value(self, node: Node, name: str) -> Any:
        """Return a property's value. Raises QMPError in QEMU's words, or that it is unknown."""
        full_name = f"{node.qom_type}.{name}"
        if name not in self.properties(node):
            raise QMPError(f"Property '{full_name}' not found")
        known = self.values(node)
        if name not in known:
            raise QMPError(f"Property '{full_name}' is not simulated by qemu-sim")
        return known[name]

    def values(self, node: Node) -> dict[str, Any]:
        """Return the values known of an object's properties, by name."""
        children = {name: child.path for name, child in node.children.items()}
        cpu = self._cpus.get(node.path)
        if cpu is not None:
            known = cpu_values(self._machine, cpu)
        else:
            known = self._types.defaults(node) if node.kinds is None else {}
        return known | node.links | node.values | children | {"type": node.qom_type}

    def check_settable(self, node: Node, name: str) -> None:
        """Raise QMPError in QEMU's words if nobody may write the property now."""
        full_name = f"{node.qom_type}.{name}"
        kind = self.properties(node).get(name)
        if kind is None:
            raise QMPError(f"Property '{full_name}' not found")
        owner = self._owner(node, name)
        if name in _FIXED or kind.startswith(_CHILD) or node.path.startswith(_CHARDEVS):
            raise QMPError(f"Property '{owner.qom_type}.{name}' is not writable")
        if (
            owner.device_name
            and name not in _WRITABLE
            and name in self._types.device_properties(owner)
        ):
            link = "link " if kind.startswith(_LINK) else ""
            raise QMPError(
                f"Attempt to set {link}property '{name}' on {owner.device_name}"
                f" (type '{owner.qom_type}') after it was realized"
            )

    # How the tree grows.

    def _grow(self) -> None:
        board = self._machine.board
        empty_too = self._profile.version >= _ALWAYS_THERE
        if empty_too:
            self._root.add("backend", _CONTAINER)
        machine = self._root.add(
            "machine",
            f"{self._machine.machine_type}-machine",
            dict(self._machine.options.properties),
        )
        objects = Node("/objects", _CONTAINER)
        if _MONITOR in self._profile.types:
            for monitor in board.monitors:
                objects.add(monitor.id, monitor.qom_type, monitor.values)
        for each in board.objects.values():
            recorded = self._profile.object_values
            # One that needs a path was not recorded; all memory backends are alike in the rest.
            alike = _RAM if isinstance(each, MemoryBackend) else each.TYPE
            values = recorded.get(each.TYPE, recorded.get(alike, {}))
            node = objects.add(each.id, each.TYPE, values | _object_values(each))
            if isinstance(each, MemoryBackend):
                _add_region(node, each.memory.size)
        self._grow_ram(machine, objects)
        if empty_too or objects.children:
            self._root.children["objects"] = objects
        chardevs = self._root.add("chardevs", _CONTAINER)
        for chardev in board.chardevs.values():
            chardevs.add(chardev.id, f"chardev-{chardev.TYPE}")
        if empty_too:
            self._root.add("audiodevs", _CONTAINER)
        self._grow_machine(machine)

    def _grow_machine(self, machine: Node) -> None:
        for name in ("unattached", "peripheral", "peripheral-anon"):
            machine.add(name, _CONTAINER)
        self._grow_cpus()
        tree = self._profile.idle_trees.get(idle.family(self._machine.machine_type) or "")
        if tree is not None:
            known = () if self._machine.options.cpu is None else self._cpus
            recorded_tree.grow(machine, tree, self._machine.options.topology.cpus, known)
        machine.values = self._machine_values() | machine.values | self._machine.board.written
        self._grow_host_bus(machine)
        for device in self._machine.board.devices:
            if device.path not in self._cpus:
                self._grow_device(device)

    def _machine_values(self) -> dict[str, Any]:
        """What the machine object shows where the client did not say otherwise."""
        recorded = self._profile.machine_values.get(self._machine.machine_type, {})
        return {name: value for name, value in recorded.items() if name not in _OF_OPTIONS}

    def _grow_cpus(self) -> None:
        if not has_cpus(self._machine):
            return
        for cpu in self._machine.cpus.possible():
            if cpu.path is not None:
                parent, _, name = cpu.path.rpartition("/")
                self._cpus[cpu.path] = cpu
                node = self.find(parent).add(name, cpu_type(self._machine))
                node.device_name = _spoken(None)

    def _grow_ram(self, machine: Node, objects: Node) -> None:
        """Show RAM that no memory backend provides as the object that QEMU makes for it."""
        options = self._machine.options
        name = options.memory_backend
        if name is None and options.has_ram:
            name = self._profile.machines[self._machine.machine_type].get("default-ram-id")
            if name is not None:
                values = self._profile.object_values.get(_RAM, {})
                given = {"size": options.memory_size, "share": False}
                _add_region(objects.add(name, _RAM, values | given), options.memory_size)
        if name is not None:
            machine.links["memory-backend"] = f"/objects/{name}"
        else:
            machine.values["memory-backend"] = ""

    def _grow_host_bus(self, machine: Node) -> None:
        """Add the PCI host bridge and its bus, unless they were recorded."""
        machine_type = self._machine.machine_type
        for part, (host, host_type, bus, bus_type) in _PCI_HOSTS.items():
            if part in machine_type:
                node = machine.children.get(host) or machine.add(host, host_type)
                if bus not in node.children:
                    node.add(bus, bus_type, {"realized": True})

    def _grow_device(self, device: Device) -> None:
        parent, _, name = device.path.rpartition("/")
        node = self.find(parent).add(name, device.TYPE, _device_values(device))
        node.device_name = _spoken(device.id)
        bus = self._machine.board.buses.of(device)
        for name, kind in self._types.properties(node).items():
            if kind.startswith(_LINK) and name in device.properties:
                node.links[name] = f"/objects/{node.values.pop(name)}"
        tree, key = self._profile.plugged_trees, f"{bus.record} {device.TYPE}"
        if tree is not None and key in tree:
            self._grow_recorded(node, device, key, tree)
        else:
            self._grow_behind(node)
        found = [each for each in resolve(self._root, bus.name) if each.qom_type == bus.kind]
        node.values.pop("parent_bus", None)
        if len(found) == 1:
            node.links["parent_bus"] = found[0].path

    def _grow_recorded(self, node: Node, device: Device, key: str, tree: Pool) -> None:
        """Add the objects that such a device has in a real QEMU."""
        given = {**node.values, **node.links}
        if device.place is not None:
            given["addr"] = device.place
        mapped = self._machine.execution.found is not None
        cpus = self._machine.options.topology.cpus
        PluggedTree(node, tree, given, cpus, mapped=mapped).grow(key)
        unknown = self._types.replaced(node) | _OF_OTHERS | set(self._needs(device))
        for each in (node, *node.children.values()):
            defaults = self._types.device_properties(each)
            for name in each.values.keys() & unknown - given.keys():
                del each.values[name]
                if defaults.get(name) == "":  # nobody gave a name
                    each.values[name] = ""
            self._add_ours(each, given)
        if "virtio-backend" in node.children:
            node.children["virtio-backend"].device_name = _spoken(None)

    def _add_ours(self, node: Node, given: dict[str, Any]) -> None:
        """Add the properties that no real QEMU has."""
        ours = self._types.added(node)
        if ours and node.kinds is not None:
            node.kinds = node.kinds | {each["name"]: each["type"] for each in ours}
            defaults = default_values(ours)
            node.values |= {name: given.get(name, value) for name, value in defaults.items()}

    def _needs(self, device: Device) -> Sequence[str]:
        """Return the properties whose values in the record are those of a recorder."""
        place = self._machine.board.buses.of(device).record
        needs: Sequence[str] = (
            self._profile.plugged.get(place, {}).get(device.TYPE, {}).get("needs", ())
        )
        return needs

    def _grow_behind(self, node: Node) -> None:
        """Add the virtio device behind a PCI proxy of which there is no record."""
        for name, kind in self._types.properties(node).items():
            if kind.startswith(_CHILD):
                child = node.add(name, kind[len(_CHILD) : -1], node.values)
                child.device_name = _spoken(None)

    def _owner(self, node: Node, name: str) -> Node:
        """Return the object that a property belongs to: a virtio proxy shows its backend's."""
        backend = node.children.get("virtio-backend")
        if backend is not None and name in self._types.device_properties(backend):
            return backend
        return node


def _add_region(backend: Node, size: int) -> None:
    """Add the memory region that a memory backend is."""
    name = backend.path.rpartition("/")[2]
    values = {"container": "", "addr": 0, "size": size, "priority": 0}
    backend.add(f"{name}[0]", "memory-region", values)


def _spoken(id: str | None) -> str:
    return "anonymous device" if id is None else f"device '{id}'"


def _device_values(device: Device) -> dict[str, Any]:
    """What is known of a device: what was given, what it found out, and a NIC's MAC."""
    given = {name: value for name, value in device.properties.items() if name != "addr"}
    mac = getattr(device, "mac", None)
    known = {"realized": True, "hotplugged": device.hotplugged, **given, **device.values()}
    return known | ({} if mac is None else {"mac": mac})


def _object_values(made: Object) -> dict[str, Any]:
    """What is known of an object: what was given, and what kind of RAM came of it."""
    if isinstance(made, MemoryBackend):
        return {**made.options, "share": made.memory.shared}
    return dict(made.options)
