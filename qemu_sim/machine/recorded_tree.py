"""The objects that make up an idle machine: those that a real QEMU of its family showed.

QEMU: hw/i386/pc_q35.c, hw/i386/pc_piix.c, hw/i386/microvm.c, qom/qom-qmp-cmds.c

CPUs come first among the devices without an ID, so that with more of them than the one that
was recorded, all others have a higher number. What a client plugs is not in the record.
"""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache
from typing import Any, NamedTuple

from qemu_sim.machine.qom_node import Node
from qemu_sim.qapi.pool import Pool

_DEVICE = re.compile(r"(/machine/unattached/device\[)(\d+)\]")
_CHILD = "child<"


class _Record(NamedTuple):
    """What is known of one object: types and values of its properties, types of its children."""

    path: str
    kinds: dict[str, str]
    values: dict[str, Any]
    children: dict[str, str]


def grow(machine: Node, tree: Pool, cpus: int, known: Container[str]) -> None:
    """Add what the record has below /machine, for a machine with that many CPUs.

    The objects at the paths `known` are not what was recorded, and stay as they are.
    """
    nodes = {machine.path: machine}
    for record in _records(tree, cpus):
        node = nodes.get(record.path)
        if node is None:
            continue  # another object is there
        node.kinds = record.kinds
        if node is not machine:  # whose values are those of its own type and options
            node.values = record.values | node.values
        for name, kind in record.children.items():
            child = node.children.get(name) or node.add(name, kind)
            if child.qom_type == kind and child.path not in known:
                nodes[child.path] = child


@lru_cache(maxsize=2)  # libvirt reads several hundred properties, one at a time
def _records(tree: Pool, cpus: int) -> list[_Record]:
    return [_record(renumbered(path, cpus), tree.get(path) or [], cpus) for path in tree]


def _record(path: str, properties: list[dict[str, Any]], cpus: int) -> _Record:
    def name(each: dict[str, Any]) -> str:
        return renumbered(f"{path}/{each['name']}", cpus).rpartition("/")[2]

    return _Record(
        path,
        {name(each): each["type"] for each in properties},
        {each["name"]: _value(each["value"], cpus) for each in properties if "value" in each},
        {
            name(each): each["type"][len(_CHILD) : -1]
            for each in properties
            if each["type"].startswith(_CHILD) and not each["name"].startswith("peripheral")
        },
    )


def _value(value: Any, cpus: int) -> Any:
    return renumbered(value, cpus) if isinstance(value, str) else value


def renumbered(text: str, cpus: int) -> str:
    """Return a path of the record as it is in a machine with that many CPUs."""

    def later(found: re.Match[str]) -> str:
        number = int(found[2])
        return f"{found[1]}{number + cpus - 1 if number else number}]"

    return _DEVICE.sub(later, text)
