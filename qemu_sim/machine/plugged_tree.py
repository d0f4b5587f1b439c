"""The objects that a plugged device is made of, as a real QEMU of its type showed them.

QEMU: qom/qom-qmp-cmds.c

Paths and buses bear the device's own name. What was given, and where it is, replaces what was
recorded; where the firmware has mapped a device, nothing is known of the places of its regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
        self._name = node.path.rpartition("/")[2]

    def grow(self, key: str) -> None:
        """Add what the record has at `key`, and below."""
        self._grow(self._node, key)

    def _grow(self, node: Node, key: str) -> None:
        listed = self._tree.get(key) or []
        node.kinds = {self._named(each["name"]): each["type"] for each in listed}
        values = {each["name"]: self._own(each["value"]) for each in listed if "value" in each}
        if self._mapped and node.qom_type == _REGION:
            values = {name: value for name, value in values.items() if name not in _MAPPING}
        self._count_queues(values)
        own = self._given if "hotplugged" in values else {}  # it is a device
        known = {name: value for name, value in own.items() if name in node.kinds}
        node.values = values | node.values | known
        for each in listed:
            if each["type"].startswith(_CHILD):
                child = node.add(self._named(each["name"]), each["type"][len(_CHILD) : -1])
                self._grow(child, f"{key}/{each['name']}")

    def _count_queues(self, values: dict[str, Any]) -> None:
        """Make as many queues, and vectors, as there are CPUs: the record has one of those."""
        if any(name in values for name in _QUEUES):
            for name in (*_QUEUES, "vectors"):
                if name in values:
                    values[name] += self._cpus - 1

    def _own(self, value: Any) -> Any:
        """Return a recorded value as it is here."""
        return renumbered(self._named(value), self._cpus) if isinstance(value, str) else value

    def _named(self, text: str) -> str:
        """Return what is called after the recorded device by this one's name."""
        return text.replace(_PATH, self._node.path).replace(ID, self._name)
