"""What is known of the properties of an object because of its type.

QEMU: qom/qom-qmp-cmds.c, hw/core/qdev-properties.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.machine.qom_node import Node
from qemu_sim.qapi import extension

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine
    from qemu_sim.qapi.pool import Entry, Pool
    from qemu_sim.qapi.profile import Profile

# Their default is not their value: QEMU computes it when the device is realized.
_COMPUTED = frozenset({"addr", "disable-legacy", "romfile", "romsize", "vectors"})


class TypeProperties:
    """The properties of types in one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._profile: Profile = machine.profile

    def properties(self, node: Node) -> dict[str, str]:
        """Types of the properties that an object of this type has when it is made."""
        listed = type_properties(self._machine, self._profile.qom_properties, node.qom_type)
        return {entry["name"]: entry["type"] for entry in listed or []}

    def device_properties(self, node: Node) -> dict[str, Any]:
        """Properties of a device's type, with their defaults; None where there is none."""
        listed = type_properties(self._machine, self._profile.device_properties, node.qom_type)
        return default_values(listed or [])

    def defaults(self, node: Node) -> dict[str, Any]:
        """Defaults that are values, too: not those that older machine types replace."""
        unknown = _COMPUTED | self.replaced(node)
        return {
            name: value
            for name, value in self.device_properties(node).items()
            if value is not None and name not in unknown
        }

    def replaced(self, node: Node) -> set[str]:
        """Return the properties whose defaults an older machine type replaces."""
        kinds = [node, *node.children.values()]  # a proxy shows what its backend has
        line = {name for each in kinds for name in self._profile.lineage(each.qom_type)}
        compat = self._profile.compat_properties.get(self._machine.machine_type, [])
        return {each["property"] for each in compat if each["qom-type"] in line}

    def added(self, node: Node) -> list[Entry]:
        """Return the properties of ours that a type has here."""
        dialect = self._machine.options.added_dialect
        return [] if dialect is None else extension.device_properties(node.qom_type, dialect)


def default_values(listed: list[Entry]) -> dict[str, Any]:
    """Return the defaults of properties by name, None where there is none."""
    return {
        # A string that nobody gave reads as empty.
        entry["name"]: entry.get("default-value", "" if entry["type"] == "str" else None)
        for entry in listed
    }


def type_properties(machine: Machine, pool: Pool, name: str) -> list[Entry] | None:
    """Return the properties of a type, our own at the end; None if there is no record of it.

    `pool` is the profile's qom_properties or device_properties.
    """
    listed = pool.get(name)
    dialect = machine.options.added_dialect
    if listed is not None and dialect is not None:
        listed = listed + extension.device_properties(name, dialect)
    return listed
