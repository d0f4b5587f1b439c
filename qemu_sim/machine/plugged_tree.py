"""The objects that a plugged device is made of, as a real QEMU of its type showed them.

QEMU: qom/qom-qmp-cmds.c

Paths and buses bear the device's own name. What was given, and where it is, replaces what was
recorded; where the firmware has mapped a device, nothing is known of the places of its regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.machine.recorded_tree import renumbered
from qemu_sim.qapi.plugged_lines import ID

if TYPE_CHECKING:
    from qemu_sim.machine.qom_node import Node
    from qemu_sim.qapi.pool import Pool

_PATH = f"/machine/peripheral/{ID}"
_CHILD = "child<"
_REGION = "memory-region"
_MAPPING = ("addr", "container")
_QUEUES = ("num-queues", "num_queues")  # of virtio disks and SCSI adapters


class _Record(NamedTuple):
    """What is known of one object: types and values of its properties, types of its children."""

    kinds: dict[str, str]
    values: dict[str, Any]
    children: list[tuple[str, str, str]]  # name, type, and key in the record


class PluggedTree:
    """The objects of one device, below `node`.

    `given` are the values of the device's properties that are its own; `mapped`: the firmware
    has run.
    """

    def __init__(
        self, node: Node, tree: Pool, given: Mapping[str, Any], cpus: int, *, mapped: bool
    ) -> None:
        """Nothing is added yet; `cpus` is how many the machine has."""
        self._node = node
        self._tree = tree
        self._given = given
        self._cpus = cpus
        self._mapped = mapped

    def grow(self, key: str) -> None:
        """Add what the record has at `key`, and below."""
        self._grow(self._node, key)

    def _grow(self, node: Node, key: str) -> None:
        record = _record(self._tree, key, self._node.path, self._cpus)
        node.kinds = record.kinds
        values = dict(record.values)
        if self._mapped and node.qom_type == _REGION:
            values = {name: value for name, value in values.items() if name not in _MAPPING}
        own = self._given if "hotplugged" in values else {}  # it is a device
        known = {name: value for name, value in own.items() if name in record.kinds}
        node.values = values | node.values | known
        for name, kind, below in record.children:
            self._grow(node.add(name, kind), below)


@lru_cache(maxsize=2048)  # libvirt reads several hundred properties, one at a time
def _record(tree: Pool, key: str, path: str, cpus: int) -> _Record:
    """Return what is at `key`, named after the device at `path`. Shared, and not to be changed."""
    name = path.rpartition("/")[2]

    def named(text: str) -> str:
        return text.replace(_PATH, path).replace(ID, name)

    def own(value: Any) -> Any:
        return renumbered(named(value), cpus) if isinstance(value, str) else value

    listed = tree.get(key) or []
    values = {each["name"]: own(each["value"]) for each in listed if "value" in each}
    _count_queues(values, cpus)
    return _Record(
        {named(each["name"]): each["type"] for each in listed},
        values,
        [
            (named(each["name"]), each["type"][len(_CHILD) : -1], f"{key}/{each['name']}")
            for each in listed
            if each["type"].startswith(_CHILD)
        ],
    )


def _count_queues(values: dict[str, Any], cpus: int) -> None:
    """Make as many queues, and vectors, as there are CPUs: the record has one of those."""
    if any(name in values for name in _QUEUES):
        for name in (*_QUEUES, "vectors"):
            if name in values:
                values[name] += cpus - 1
