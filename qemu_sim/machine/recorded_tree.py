"""The objects that make up an idle machine: those that a real QEMU of its family showed.

QEMU: hw/i386/pc_q35.c, hw/i386/pc_piix.c, hw/i386/microvm.c, qom/qom-qmp-cmds.c

CPUs come first among the devices without an ID, so that with more of them than the one that
was recorded, all others have a higher number. What a client plugs is not in the record.
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from qemu_sim.machine.qom_node import Node
from qemu_sim.qapi.pool import Pool

_DEVICE = re.compile(r"(/machine/unattached/device\[)(\d+)\]")
_CHILD = "child<"


def grow(machine: Node, tree: Pool, cpus: int, known: Container[str]) -> None:
    """Add what the record has below /machine, for a machine with that many CPUs.

    The objects at the paths `known` are not what was recorded, and stay as they are.
    """
    nodes = {machine.path: machine}
    for recorded in tree:
        properties = tree.get(recorded) or []
        node = nodes.get(_renumbered(recorded, cpus))
        if node is None:
            continue  # another object is there
        node.kinds = {_name(node, each["name"], cpus): each["type"] for each in properties}
        if node is not machine:  # whose values are those of its own type and options
            node.values = {
                each["name"]: _value(each["value"], cpus) for each in properties if "value" in each
            } | node.values
        for name, kind in _children(node, properties, cpus).items():
            child = node.children.get(name) or node.add(name, kind)
            if child.qom_type == kind and child.path not in known:
                nodes[child.path] = child


def _children(node: Node, properties: list[dict[str, Any]], cpus: int) -> dict[str, str]:
    return {
        _name(node, each["name"], cpus): each["type"][len(_CHILD) : -1]
        for each in properties
        if each["type"].startswith(_CHILD) and not each["name"].startswith("peripheral")
    }


def _name(node: Node, name: str, cpus: int) -> str:
    return _renumbered(f"{node.path}/{name}", cpus).rpartition("/")[2]


def _value(value: Any, cpus: int) -> Any:
    return _renumbered(value, cpus) if isinstance(value, str) else value


def _renumbered(text: str, cpus: int) -> str:
    def later(found: re.Match[str]) -> str:
        number = int(found[2])
        return f"{found[1]}{number + cpus - 1 if number else number}]"

    return _DEVICE.sub(later, text)
