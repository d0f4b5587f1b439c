"""Nodes and drives.

QEMU: qapi/block-core.json, blockdev.c, block/qapi-system.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.block import activity, reopening, statistics
from qemu_sim.block import limits as io_limits
from qemu_sim.block.backend import Backend
from qemu_sim.block.node import Node
from qemu_sim.block.permissions import ALL, RESIZE, Claim
from qemu_sim.commands.registry import command
from qemu_sim.errors import DeviceNotFound, QMPError
from qemu_sim.qapi import shape

if TYPE_CHECKING:
    from qemu_sim.block.drive import Drive
    from qemu_sim.machine.machine import Machine

_NO_BIN_SINCE = (11, 0)
_NO_REASON_BEFORE = (8, 0)


@command("blockdev-add", raw=True)
async def blockdev_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Open a tree of nodes."""
    await machine.board.graph.add(arguments)


@command("blockdev-del")
def blockdev_del(machine: Machine, *, node_name: str) -> None:
    """Close a node that blockdev-add opened."""
    machine.board.graph.delete(node_name)


@command("blockdev-reopen")
def blockdev_reopen(machine: Machine, *, options: list[dict[str, Any]]) -> None:
    """Give nodes new options."""
    for each in options:
        reopening.reopen(machine.board.graph, each)


@command("query-named-block-nodes")
def query_named_block_nodes(machine: Machine, *, flat: bool = False) -> Any:
    """Return all nodes."""
    nodes = [node.describe(flat=flat) for node in machine.board.graph.listed()]
    return shape.answer(machine.schema.by_name, "query-named-block-nodes", nodes)


@command("query-block")
def query_block(machine: Machine, *, flat: bool = False) -> Any:
    """Return all drives."""
    drives = [drive.describe(flat=flat) for drive in machine.board.drives.listed()]
    return shape.answer(machine.schema.by_name, "query-block", drives)


@command("query-blockstats")
def query_blockstats(machine: Machine, *, query_nodes: bool = False) -> Any:
    """Return what drives, or nodes, have done: nothing."""
    board = machine.board
    if query_nodes:
        nodes = reversed(board.graph.listed())
        found = [statistics.of_node(node, below_drive=False) for node in nodes]
    else:
        found = [drive.count() for drive in board.drives.listed()]
    return shape.answer(machine.schema.by_name, "query-blockstats", found)


@command("block_resize")
def block_resize(
    machine: Machine, *, size: int, device: str | None = None, node_name: str | None = None
) -> None:
    """Change a node's size."""
    node = machine.board.drives.node_of(device, node_name)
    if size < 0:
        raise QMPError("Parameter 'size' expects a >0 size")
    try:
        node.check_free()
    except QMPError:
        if machine.version < _NO_REASON_BEFORE:
            raise QMPError("Device '(null)' is in use") from None
        raise
    backend = Backend(machine.board.graph, Claim(RESIZE, ALL))
    try:
        backend.insert(node)
        if node.read_only:
            raise QMPError("Image is read-only")
        node.resize(size)
    finally:
        backend.close()


@command("block-set-write-threshold")
def block_set_write_threshold(machine: Machine, *, node_name: str, write_threshold: int) -> None:
    """Have the first write beyond an offset told (BLOCK_WRITE_THRESHOLD)."""

    def tell(threshold: int, exceeded: int) -> None:
        data = {"node-name": node_name, "amount-exceeded": exceeded, "write-threshold": threshold}
        machine.events.emit("BLOCK_WRITE_THRESHOLD", data)

    node = machine.board.graph.nodes.get(node_name)
    if node is None:
        raise QMPError(f"Device '{node_name}' not found")
    node.write_threshold, node.tell_threshold = write_threshold, tell


@command("block_set_io_throttle", raw=True)
def block_set_io_throttle(machine: Machine, arguments: dict[str, Any]) -> None:
    """Set a drive's limits."""
    drive = find_drive(machine, arguments.get("device"), arguments.get("id"))
    if drive.node is None:
        raise QMPError("Device has no medium")
    drive.limits = io_limits.checked(arguments)
    if drive.limits:
        drive.group = arguments.get("group") or drive.group or drive.name or drive.device


@command("block-latency-histogram-set", raw=True)
def block_latency_histogram_set(machine: Machine, arguments: dict[str, Any]) -> None:
    """Say which latencies of a drive are counted together."""
    drive = find_drive(machine, None, arguments["id"])
    drive.histograms.set(arguments, takes_none=machine.version < _NO_BIN_SINCE)


@command("blockdev-set-active")
def blockdev_set_active(machine: Machine, *, active: bool, node_name: str | None = None) -> None:
    """Say whether this process may use a node's image, or all."""
    graph = machine.board.graph
    if node_name is None:
        change_all = activity.activate_all if active else activity.inactivate_all
        change_all(graph)
    else:
        change = activity.activate if active else activity.inactivate
        change(graph.node(node_name))


def find_drive(machine: Machine, device: str | None, id: str | None) -> Drive:
    """Return a drive by name or by device. Raises QMPError in QEMU's words."""
    try:
        return machine.board.drives.find(device, id)
    except DeviceNotFound:
        if id is not None and machine.board.has_device(id):
            raise QMPError("Device does not have a block device backend") from None
        raise


def bitmap_node(machine: Machine, name: str) -> Node:
    """Return the node of a dirty bitmap. Raises QMPError in QEMU's words."""
    try:
        return machine.board.drives.node_of(name, name)
    except QMPError:
        raise QMPError(f"Node '{name}' not found") from None


def root_node(machine: Machine, device: str) -> Node:
    """Return a node that no other stands on. Raises QMPError in QEMU's words."""
    node = machine.board.drives.node_of(device, device)
    if any(isinstance(edge.parent, Node) for edge in node.parents):
        raise QMPError("Need a root block node")
    return node
