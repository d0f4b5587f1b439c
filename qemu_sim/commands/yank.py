"""Cut connections that hang.

QEMU: qapi/yank.json, util/yank.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from qemu_sim.commands.registry import command
from qemu_sim.errors import DeviceNotFound

if TYPE_CHECKING:
    from qemu_sim.backends.chardev import Chardev
    from qemu_sim.block.driver_nbd import DriverNbd
    from qemu_sim.machine.machine import Machine


@command("query-yank")
def query_yank(machine: Machine) -> list[dict[str, Any]]:
    """Return what could be cut: chardevs, exports of others, and a migration under way."""
    found = [{"type": "chardev", "id": chardev.id} for chardev in _sockets(machine)]
    found += [{"type": "block-node", "node-name": node.name} for node in _exports(machine)]
    if machine.migration.status.under_way:
        found.append({"type": "migration"})
    return found


@command("yank")
def yank(machine: Machine, *, instances: list[dict[str, Any]]) -> None:
    """Cut connections; none of them where one is not there."""
    known = query_yank(machine)
    if any(instance not in known for instance in instances):
        raise DeviceNotFound("Instance not found")
    sockets = {chardev.id: chardev for chardev in _sockets(machine)}
    nodes = {node.name: node for node in _exports(machine)}
    for instance in instances:
        if instance["type"] == "migration":
            machine.migration.cancel()
        elif instance["type"] == "block-node":
            nodes[instance["node-name"]].yank()
        else:
            sockets[instance["id"]].yank()


def _exports(machine: Machine) -> list[DriverNbd]:
    nodes = machine.board.graph.nodes.values()
    return [cast("DriverNbd", node) for node in nodes if node.TYPE == "nbd"]


def _sockets(machine: Machine) -> list[Chardev]:
    return [chardev for chardev in machine.board.chardevs.values() if chardev.can_yank]
