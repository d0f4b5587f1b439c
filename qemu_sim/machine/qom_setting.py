"""Writing a property of an object, where that has no other effect than that it reads so.

QEMU: qom/qom-qmp-cmds.c (qmp_qom_set), hw/core/machine.c, hw/i386/pc.c

What a machine is made of is settled when it starts: QEMU keeps a later value and looks at it
no more, and so does this. User-creatable objects know themselves what may change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.qapi import json_values, object_properties

if TYPE_CHECKING:
    from qemu_sim.backends.object import Object
    from qemu_sim.machine.machine import Machine
    from qemu_sim.machine.monitor_object import MonitorObject
    from qemu_sim.machine.qom import ObjectTree
    from qemu_sim.machine.qom_node import Node

_OBJECTS = "/objects/"
_BOOT_INDEX = "bootindex"
# A migration's stream would be another.
_SEEN = frozenset({"suppress-vmdesc"})
_LONGEST = {"x-oem-id": 6, "x-oem-table-id": 8}  # bytes
_FOUR_GIB = 1 << 32
_PERSISTENCE = ("cpu", "mem-ctrl")
_ENTRY_POINTS = ("32", "64", "auto")


def write(machine: Machine, tree: ObjectTree, node: Node, name: str, value: Any) -> None:
    """Set the property, or raise QMPError in QEMU's words or that it is not simulated."""
    tree.check_settable(node, name)
    kind = tree.properties(node)[name]
    made = machine.board.object(node.path.removeprefix(_OBJECTS))
    if made is not None and node.path.startswith(_OBJECTS):
        _write_object(made, name, kind, value)
    elif node.path == "/machine" and name not in _SEEN:
        machine.board.written[name] = _machine_value(tree, name, kind, value)
    elif not node.device_name or not _write_device(machine, node, name, value):
        raise QMPError(f"Setting property '{node.qom_type}.{name}' is not simulated by qemu-sim")


def _write_device(machine: Machine, node: Node, name: str, value: Any) -> bool:
    device = machine.board.device(node.path.removesuffix("/virtio-backend"))
    if name == _BOOT_INDEX:
        device.properties[name] = json_values.scalar("int32_t")(value, (None, name))
        return True
    kind = device.SETTABLE.get(name)
    if kind is not None:
        device.set(name, _typed(name, kind, value))
    return kind is not None


def _write_object(made: Object | MonitorObject, name: str, kind: str, value: Any) -> None:
    is_plain = object_properties.is_scalar(kind) and not isinstance(value, list)
    made.set(name, _typed(name, kind, value) if is_plain else value)


def _typed(name: str, kind: str, value: Any) -> Any:
    entry = {"name": name, "type": kind}
    return object_properties.read(entry, value, json_values.scalar)


def _machine_value(tree: ObjectTree, name: str, kind: str, value: Any) -> Any:
    if kind.startswith("link<"):
        tree.find(json_values.scalar("str")(value, (None, name)))
    if not object_properties.is_scalar(kind):
        raise QMPError(f"Setting machine property '{name}' is not simulated by qemu-sim")
    typed = _typed(name, kind, value)
    check = _CHECKS.get(name)
    if check is not None:
        check(name, typed)
    return typed


def _check_length(name: str, value: str) -> None:
    limit = _LONGEST[name]
    if len(value.encode()) > limit:
        raise QMPError(f"User specified {name} value is bigger than {limit} bytes in size")


def _check_low_ram(name: str, value: int) -> None:
    if value > _FOUR_GIB:
        raise QMPError(f"Machine option '{name}={value}' expects size less than or equal to 4G")


def _check_persistence(name: str, value: str) -> None:
    if value not in _PERSISTENCE:
        raise QMPError(f"-machine {name}={value}: unsupported option")


def _check_entry_point(name: str, value: str) -> None:
    if value not in _ENTRY_POINTS:
        raise QMPError(f"Parameter '{name}' does not accept value '{value}'")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "x-oem-id": _check_length,
    "x-oem-table-id": _check_length,
    "max-ram-below-4g": _check_low_ram,
    "nvdimm-persistence": _check_persistence,
    "smbios-entry-point-type": _check_entry_point,
}
