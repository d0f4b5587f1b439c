"""The block graph as its developers look at it, and change it.

QEMU: qapi/block-core.json, blockdev.c (qmp_x_blockdev_change, qmp_x_blockdev_set_iothread)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.block import graph_report
from qemu_sim.block.node import Node
from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError
from qemu_sim.qapi import shape

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("x-debug-query-block-graph")
def x_debug_query_block_graph(machine: Machine) -> Any:
    """Return who uses which node, and how."""
    jobs = [job for job in machine.jobs.listed() if job.is_block]
    found = graph_report.report(machine.board.graph, jobs)
    return shape.answer(machine.schema.by_name, "x-debug-query-block-graph", found)


@command("x-blockdev-change")
def x_blockdev_change(
    machine: Machine, *, parent: str, child: str | None = None, node: str | None = None
) -> None:
    """Give a node another child, or take one away: a quorum's, and there are none here."""
    drives, graph = machine.board.drives, machine.board.graph
    found = drives.node_of(parent, parent)
    if (child is None) == (node is None):
        raise QMPError(
            "Either child or node must be specified"
            if child is None
            else "The parameters child and node are in conflict"
        )
    if child is not None:
        if child not in found.children:
            raise QMPError(f"Node '{parent}' does not have child '{child}'")
        raise QMPError(f"The node {found.name} does not support removing a child")
    if node not in graph.nodes:
        raise QMPError(f"Node '{node}' not found")
    raise QMPError(f"The node {found.name} does not support adding a child")


@command("x-blockdev-set-iothread", raw=True)
def x_blockdev_set_iothread(machine: Machine, arguments: dict[str, Any]) -> None:
    """Have another thread work on a node and all it is connected with; there is no I/O here."""
    node = machine.board.graph.node(arguments["node-name"])
    is_root = any(edge.name == "root" for edge in node.parents)
    if is_root and not arguments.get("force", False):
        raise QMPError(
            f"Node {node.name} is associated with a BlockBackend and could be in use (use "
            "force=true to override this check)"
        )
    thread = arguments["iothread"]
    if thread is None:
        return  # they are in the main loop already, if a device is among them
    if getattr(machine.board.objects.get(thread), "TYPE", None) != "iothread":
        raise QMPError(f"Cannot find iothread {thread}")
    connected = _connected(node)
    if any(each.device for each in machine.board.graph.backends if each.node in connected):
        raise QMPError("Cannot change iothread of active block backend")


def _connected(node: Node) -> list[Node]:
    """Return all nodes that are above or below this one, or one of those."""
    found = [node]
    for each in found:
        above = [edge.parent for edge in each.parents if isinstance(edge.parent, Node)]
        found.extend(one for one in (*above, *each.children.values()) if one not in found)
    return found
