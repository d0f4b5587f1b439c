"""Images that are this process's to use, or another's: around a migration, or by command.

QEMU: block.c (bdrv_inactivate_recurse, bdrv_activate), qapi/block-core.json (blockdev-set-active)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.block.backend import Backend
from qemu_sim.block.edge import asked_of, trial
from qemu_sim.block.node import Node
from qemu_sim.block.permissions import UNCHANGED, WRITE
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.block.graph import Graph


def inactivate(node: Node) -> None:
    """Leave a node, and what only it uses, to another process. Raises QMPError."""
    if _has_user(node, among_active=True):
        raise QMPError("Node has active parent node")
    try:
        _inactivate(node)
    except QMPError as error:
        raise QMPError(f"Failed to inactivate node: {error}") from None


def inactivate_all(graph: Graph) -> None:
    """Leave all nodes to another process, but not those that are added later. Raises QMPError."""
    try:
        for node in list(graph.nodes.values()):
            if not _has_user(node, among_active=False):
                _inactivate(node)
    except QMPError as error:
        raise QMPError(f"Failed to inactivate all nodes: {error}") from None


def activate(node: Node) -> None:
    """Take a node and all below into use. Raises QMPError in QEMU's words."""
    for child in node.children.values():
        activate(child)
    try:
        if not node.active:
            node.active = True
            with trial(node):
                pass
        for edge in node.parents:
            if isinstance(edge.parent, Backend):
                edge.parent.wake()
    except QMPError:
        node.active = False
        raise


def activate_all(graph: Graph) -> None:
    """Take all nodes into use. Raises QMPError in QEMU's words."""
    graph.active = True
    for node in list(graph.nodes.values()):
        activate(node)


def _has_user(node: Node, *, among_active: bool) -> bool:
    users = [edge.parent for edge in node.parents if isinstance(edge.parent, Node)]
    return any(user.active or not among_active for user in users)


def _inactivate(node: Node) -> None:
    if not node.active:
        return
    for edge in node.parents:
        if isinstance(edge.parent, Backend):
            edge.parent.rest()
    if asked_of(node).needs & (WRITE | UNCHANGED):
        raise QMPError("Operation not permitted")
    node.active = False
    with trial(node):
        pass
    for child in node.children.values():
        if not _has_user(child, among_active=True):
            _inactivate(child)
