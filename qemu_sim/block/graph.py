"""All nodes of one machine, by name.

QEMU: block.c (bdrv_find_node, bdrv_append, bdrv_replace_node), blockdev.c (qmp_blockdev_add)

A node lives as long as somebody needs it: the client that added it, a node above it, or a
block backend. Who uses a node, and how, is an edge; a change that permissions forbid is
refused with nothing changed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qemu_sim.block import opening
from qemu_sim.block.edge import Edge, Parent, below, trial
from qemu_sim.block.node import Node
from qemu_sim.block.permissions import FREE, READ, Claim
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.block.backend import Backend

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_MAX_NAME = 31
_MAX_HEIGHT = 150
Options = dict[str, Any]


class Graph:
    """The nodes, in the order in which they got their names."""

    def __init__(self, objects: Mapping[str, Any], *, active: bool = True) -> None:
        """`objects` are the machine's, by ID: throttle groups may be among them.

        `active`: the images are this process's, and not those of one that migrates here.
        """
        self.nodes: dict[str, Node] = {}
        self.backends: list[Backend] = []
        self.objects = objects
        self.active = active
        self._generated = 0

    # What clients ask.

    async def add(self, options: Options) -> Node:
        """Open a tree of nodes; its root is the client's. Raises QMPError in QEMU's words."""
        if "node-name" not in options:
            raise QMPError("'node-name' must be specified for the root node")
        node = await self.open(options)
        node.owned = True
        return node

    def delete(self, name: str) -> None:
        """Give up a node that a client added. Raises QMPError in QEMU's words."""
        node = self.node(name)
        if any(edge.name == "root" for edge in node.parents):
            raise QMPError(f"Node {name} is in use")
        node.check_free()
        if not node.owned:
            raise QMPError(f"Node {name} is not owned by the monitor")
        if node.in_use:
            raise QMPError(f"Block device {name} is in use")
        self.disown(node)

    def node(self, name: str) -> Node:
        """Return a node. Raises QMPError as blockdev-del words it."""
        if name not in self.nodes:
            raise QMPError(f"Failed to find node with node-name='{name}'")
        return self.nodes[name]

    def listed(self) -> list[Node]:
        """Return all nodes in the order in which QEMU lists them: the newest first."""
        return list(reversed(self.nodes.values()))

    # What block backends and jobs ask.

    def use(
        self, node: Node, parent: Parent, name: str, claim: Claim = FREE, *, stays: bool = False
    ) -> Edge:
        """Keep `node` for `parent`. Raises QMPError in QEMU's words."""
        if not node.active and claim.needs & ~READ:
            raise QMPError(f"Permission '{claim.needs.words}' unavailable on inactive node")
        edge = Edge(parent, name, node, claim, stays=stays)
        with trial(node):
            node.parents.insert(0, edge)
        return edge

    def release(self, edge: Edge) -> None:
        """End `use`; the node goes when nobody else needs it."""
        node = edge.child
        with trial(node):
            node.parents.remove(edge)
        self.drop_unused(node)

    def attach(self, node: Node, role: str, child: Node) -> None:
        """Put `node` above another. Raises QMPError in QEMU's words."""
        self._check_attach(node, role, child)
        with trial(node, child):
            _link(node, role, child)

    def append(self, node: Node, role: str, child: Node) -> None:
        """Put `node` above another, in the place of that. Raises QMPError in QEMU's words."""
        self._check_attach(node, role, child)
        with trial(node, child, *_users(child)):
            _move(child, node)
            _link(node, role, child)

    def replace(self, old: Node, new: Node) -> None:
        """Have everybody who uses `old` use `new` from now on; the owner stays.

        What `new` itself stands on keeps `old`, or the graph would have a circle.
        """
        with trial(new, old, *_users(old)):
            _move(old, new)
        self.drop_unused(old)

    def drop_filter(self, node: Node) -> None:
        """Have everybody who uses a filter use its child; the filter is above nothing then."""
        child, children = node.child, list(node.children.values())
        with trial(*children, node, *_users(node)):
            for role in list(node.links):
                _unlink(node, role)
            _move(node, child)
        for each in (*children, node):
            self.drop_unused(each)

    def set_backing(self, node: Node, backing: Node | None) -> None:
        """Put `node` above another image, in memory; see Node.set_backing for its file."""
        old = node.children.get("backing")
        with trial(node, *(each for each in (old, backing) if each is not None)):
            _unlink(node, "backing")
            if backing is not None:
                _link(node, "backing", backing)
        if old is not None:
            self.drop_unused(old)

    def set_read_only(self, node: Node, *, read_only: bool) -> None:
        """Open an image, and its file, in another way. Raises QMPError in QEMU's words."""
        before = node.read_only
        node.set_read_only(read_only)
        try:
            with trial(node):
                pass
        except QMPError:
            node.set_read_only(before)
            raise

    def check_snapshot(self, node: Node) -> None:
        """Raise QMPError in QEMU's words if nothing can be put above `node`."""
        node.check_free()

    def snapshot(self, node: Node, overlay: Node) -> Callable[[], None]:
        """Have everybody who uses `node` use `overlay` above it; returns what undoes that.

        Raises QMPError in QEMU's words.
        """
        self.check_snapshot(node)
        if overlay.in_use or overlay is node:
            raise QMPError("The overlay is already in use")
        if overlay.backing is not None:
            raise QMPError("The overlay already has a backing image")
        if not overlay.HAS_BACKING:
            raise QMPError("The overlay does not support backing images")
        given, was_read_only = overlay.options.get("backing"), node.read_only
        self.append(overlay, "backing", node)
        overlay.options["backing"] = node.name
        self.set_read_only(node, read_only=True)

        def undo() -> None:
            self.set_read_only(node, read_only=was_read_only)
            overlay.options["backing"] = given
            self.replace(overlay, node)
            self.set_backing(overlay, None)

        return undo

    def disown(self, node: Node) -> None:
        """Take a node from the client."""
        node.owned = False
        self.drop_unused(node)

    async def open(self, options: Options) -> Node:
        """Open a tree for somebody who then uses it. Raises QMPError in QEMU's words."""
        return await opening.open_tree(self, options)

    def close(self) -> None:
        """Close everything."""
        for node in self.nodes.values():
            node.close()
        self.nodes.clear()

    # What opening a tree asks.

    def found(self, name: str) -> Node:
        """Return the node that another one's options name. Raises QMPError in QEMU's words."""
        if name not in self.nodes:
            raise QMPError(f"Cannot find device='{name}' nor node-name='{name}'")
        return self.nodes[name]

    def give_name(self, node: Node, name: str | None) -> None:
        """List a node by its name; None: by one of ours. Raises QMPError in QEMU's words."""
        if name is None:
            self._generated += 1
            # Two random digits, so that nobody relies on a name that was not given.
            name = f"#block{self._generated - 1}{random.randrange(100):02d}"  # noqa: S311
        elif not _NAME.fullmatch(name):
            raise QMPError(f"Invalid node-name: '{name}'")
        elif len(name) > _MAX_NAME:
            raise QMPError("Node name too long")
        if name in self.nodes:
            raise QMPError(f"Duplicate nodes with node-name='{name}'")
        node.name = name
        self.nodes[name] = node

    def drop(self, node: Node) -> None:
        """Close a node and what only it needed."""
        node.close()
        if self.nodes.get(node.name) is node:
            del self.nodes[node.name]
        for role in list(node.links):
            child = node.links[role].child
            with trial(child):
                _unlink(node, role)
            self.drop_unused(child)

    def drop_unused(self, node: Node) -> None:
        """Close a node unless somebody needs it."""
        if not node.owned and not node.in_use:
            self.drop(node)

    def _check_attach(self, node: Node, role: str, child: Node) -> None:
        if node in below(child):
            raise QMPError(
                f"Making '{child.name}' a {role} child of '{node.name}' would create a cycle"
            )
        if node.active and not child.active:
            raise QMPError(
                f"Inactive '{child.name}' can't be a {role} child of active '{node.name}'"
            )
        node.height = max(node.height, child.height + 1)
        if node.height > _MAX_HEIGHT:
            raise QMPError(
                f"more than {_MAX_HEIGHT} nodes on top of each other are not simulated by qemu-sim"
            )


def _link(node: Node, role: str, child: Node) -> None:
    edge = Edge(node, role, child)
    node.links[role] = edge
    child.parents.insert(0, edge)


def _unlink(node: Node, role: str) -> None:
    edge = node.links.pop(role, None)
    if edge is not None:
        edge.child.parents.remove(edge)


def _users(node: Node) -> list[Node]:
    return [edge.parent for edge in node.parents if isinstance(edge.parent, Node)]


def _move(old: Node, new: Node) -> None:
    """Point the edges to `old` that may be moved to `new`, but for those of what that is on."""
    kept = below(new)
    for edge in list(old.parents):
        if not edge.stays and edge.parent not in kept:
            old.parents.remove(edge)
            edge.child = new
            new.parents.insert(0, edge)
