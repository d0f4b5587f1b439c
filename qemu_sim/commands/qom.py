"""Objects by path, and what is known of types.

QEMU: qapi/qom.json, qapi/qdev.json, qom/qom-qmp-cmds.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command
from qemu_sim.errors import DeviceNotFound, QMPError
from qemu_sim.machine import qom_setting
from qemu_sim.machine.qom import ObjectTree
from qemu_sim.machine.type_properties import type_properties

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine
    from qemu_sim.machine.qom_node import Node
    from qemu_sim.qapi.profile import Profile


@command("qom-list")
def qom_list(machine: Machine, *, path: str) -> list[dict[str, Any]]:
    """Return names and types of an object's properties, children among them."""
    tree = ObjectTree(machine)
    properties = tree.properties(tree.find_unambiguous(path))
    return [{"name": name, "type": kind} for name, kind in properties.items()]


@command("qom-get")
def qom_get(machine: Machine, *, path: str, property: str) -> Any:
    """Return a property's value."""
    tree = ObjectTree(machine)
    return tree.value(tree.find(path), property)


@command("qom-list-get")
def qom_list_get(machine: Machine, *, paths: list[str]) -> list[dict[str, Any]]:
    """Return the properties of several objects, each with its value where it has one."""
    tree = ObjectTree(machine)
    return [{"properties": _with_values(tree, tree.find_unambiguous(path))} for path in paths]


def _with_values(tree: ObjectTree, node: Node) -> list[dict[str, Any]]:
    values = tree.values(node)
    return [
        {"name": name, "type": kind} | ({"value": values[name]} if name in values else {})
        for name, kind in tree.properties(node).items()
    ]


@command("qom-set")
def qom_set(machine: Machine, *, path: str, property: str, value: Any) -> None:
    """Write a property that may be written, and that nothing here depends on."""
    tree = ObjectTree(machine)
    qom_setting.write(machine, tree, tree.find(path), property, value)


@command("qom-list-types")
def qom_list_types(
    machine: Machine, *, implements: str | None = None, abstract: bool = False
) -> list[dict[str, Any]]:
    """Return the types that are `implements` or descend from it."""
    profile = machine.profile
    if implements is not None and "interface" in profile.lineage(implements):
        found = _implementing(profile, implements)
    else:
        found = {
            name
            for name in profile.types
            if implements is None or implements in profile.lineage(name)
        }
    return [
        kind
        for name, kind in profile.types.items()
        if name in found and (abstract or not kind.get("abstract"))
    ]


def _implementing(profile: Profile, interface: str) -> set[str]:
    if interface not in profile.interfaces:
        raise QMPError(f"Which types implement interface '{interface}' is not recorded")
    return set(profile.interfaces[interface])


@command("qom-list-properties")
def qom_list_properties(machine: Machine, *, typename: str) -> list[dict[str, Any]]:
    """Return the properties of a type."""
    profile = machine.profile
    if typename not in profile.types:
        raise DeviceNotFound(f"Class '{typename}' not found")
    if "interface" in profile.lineage(typename):
        raise QMPError("Parameter 'typename' expects a QOM type")
    found = type_properties(machine, profile.qom_properties, typename)
    if found is None:
        raise QMPError(f"The properties of type '{typename}' are not recorded")
    return found


@command("device-list-properties")
def device_list_properties(machine: Machine, *, typename: str) -> list[dict[str, Any]]:
    """Return the properties that device_add takes for a type of device."""
    profile = machine.profile
    if typename not in profile.types:
        raise DeviceNotFound(f"Device '{typename}' not found")
    is_abstract = profile.types[typename].get("abstract", False)
    if is_abstract or "device" not in profile.lineage(typename):
        raise QMPError("Parameter 'typename' expects a non-abstract device type")
    found = type_properties(machine, profile.device_properties, typename)
    if found is None:
        raise QMPError(f"The properties of type '{typename}' are not recorded")
    return found
