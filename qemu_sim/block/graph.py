"""All nodes of one machine, by name.

QEMU: block.c (bdrv_open_inherit, bdrv_find_node), blockdev.c (qmp_blockdev_add)

A node lives as long as somebody needs it: the client that added it, a node above it, or a
drive.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from qemu_sim import catalog
from qemu_sim.block.node import Node
from qemu_sim.errors import QMPError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_MAX_NAME = 31
_MAX_HEIGHT = 150
_BACKING = {"read-only": True, "auto-read-only": False}
Options = dict[str, Any]


class HoldsNode:
    """Uses one node, and may be given another."""

    node: Node | None


class Graph:
    """The nodes, in the order in which they got their names."""

    def __init__(self, objects: Mapping[str, Any], *, active: bool = True) -> None:
        """`objects` are the machine's, by ID: throttle groups may be among them.

        `active`: the images are this process's, and not those of one that migrates here.
        """
        self.nodes: dict[str, Node] = {}
        self._objects = objects
        self._generated = 0
        self._active = active

    # What clients ask.

    def set_all_active(self, *, active: bool) -> None:
        """Take all images into use, or leave them to another process."""
        self._active = active
        for node in self.nodes.values():
            node.active = active

    async def add(self, options: Options) -> Node:
        """Open a tree of nodes; its root is the client's. Raises QMPError in QEMU's words."""
        if "node-name" not in options:
            raise QMPError("'node-name' must be specified for the root node")
        node = await self._open(options)
        node.owned = True
        return node

    def delete(self, name: str) -> None:
        """Give up a node that a client added. Raises QMPError in QEMU's words."""
        node = self.node(name)
        for user in node.users:
            if not isinstance(user, Node):
                raise QMPError(f"Node {name} is in use")
            if user.children.get("backing") is node:
                raise QMPError(
                    f"Node '{name}' is busy: node is used as backing hd of '{user.name}'"
                )
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

    async def reopen(self, options: Options) -> None:
        """Give a node new options. Raises QMPError in QEMU's words."""
        if "node-name" not in options:
            raise QMPError("node-name not specified")
        node = self.node(options["node-name"])
        if options["driver"] != node.TYPE:
            raise QMPError("Cannot change the option 'driver'")
        for role, child in node.children.items():
            given = options.get(role, child.name)
            if isinstance(given, str) and given != child.name:
                if given not in self.nodes:
                    raise QMPError(f"Cannot find device='' nor node-name='{given}'")
                raise QMPError(f"replacing '{role}' of a node is not simulated by qemu-sim")
        fixed = {key for key in node.STRONG if options.get(key) != node.options.get(key)}
        if fixed:
            raise QMPError(f"Cannot change the option '{min(fixed)}'")
        kept = {key: value for key, value in node.options.items() if key in node.children}
        node.set_options({**options, **kept})

    # What drives and jobs ask.

    def use(self, node: Node, user: object) -> None:
        """Keep `node` for `user`."""
        node.users.append(user)

    def release(self, node: Node, user: object) -> None:
        """End `use`; the node goes when nobody else needs it."""
        node.users.remove(user)
        self._drop_unused(node)

    def replace(self, old: Node, new: Node) -> None:
        """Have everybody who uses `old` use `new` from now on; the owner stays.

        What `new` itself stands on keeps `old`, or the graph would have a circle.
        """
        below = _below(new)
        for user in [user for user in old.users if user not in below]:
            if isinstance(user, Node):
                role = next(role for role, child in user.children.items() if child is old)
                user.children[role] = new
            elif isinstance(user, HoldsNode):
                user.node = new
            else:
                continue
            self.use(new, user)
            old.users.remove(user)
        self._drop_unused(old)

    def check_snapshot(self, node: Node) -> None:
        """Raise QMPError in QEMU's words if nothing can be put above `node`."""
        for user in node.users:
            if isinstance(user, Node) and user.children.get("backing") is node:
                raise QMPError(
                    f"Node '{node.name}' is busy: node is used as backing hd of '{user.name}'"
                )
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
        overlay.options["backing"] = node.name
        self.set_backing(overlay, node)
        self.replace(node, overlay)
        node.set_read_only(True)

        def undo() -> None:
            node.set_read_only(was_read_only)
            overlay.options["backing"] = given
            self.replace(overlay, node)
            self.set_backing(overlay, None)

        return undo

    def set_backing(self, node: Node, backing: Node | None) -> None:
        """Put `node` above another image, in memory; see Node.set_backing for its file."""
        old = node.children.pop("backing", None)
        if backing is not None:
            node.children["backing"] = backing
            self.use(backing, node)
        if old is not None:
            self.release(old, node)

    def disown(self, node: Node) -> None:
        """Take a node from the client."""
        node.owned = False
        self._drop_unused(node)

    async def open(self, options: Options) -> Node:
        """Open a tree for somebody who then uses it. Raises QMPError in QEMU's words."""
        return await self._open(options)

    def close(self) -> None:
        """Close everything."""
        for node in self.nodes.values():
            node.close()
        self.nodes.clear()

    # How a tree is opened.

    async def _open(self, options: Options) -> Node:
        made = catalog.find("qemu_sim.block", "driver", options["driver"])
        if made is None:
            raise QMPError(f"block driver '{options['driver']}' is not simulated by qemu-sim")
        node: Node = made(options, self._objects)
        try:
            if not node.IS_PROTOCOL:
                await self._open_child(node)
            self._name(node, options.get("node-name"))
            await node.prepare()
            if node.IS_PROTOCOL:
                await self._open_child(node)
            node.open()
            await self._open_backing(node)
        except BaseException:
            self._drop(node)
            raise
        return node

    async def _open_child(self, node: Node) -> None:
        if node.CHILD is not None:
            given = node.options[node.CHILD]
            await self._attach(node, node.CHILD, given, _inherited(node))

    async def _open_backing(self, node: Node) -> None:
        given = node.options["backing"] if "backing" in node.options else node.backing_reference()
        if given is None:
            return
        try:
            await self._attach(node, "backing", given, {**_inherited(node), **_BACKING})
        except QMPError as error:
            raise QMPError(f"Could not open backing file: {error}") from None

    async def _attach(self, node: Node, role: str, given: Options | str, defaults: Options) -> None:
        if isinstance(given, str):
            child = self._referenced(given)
        else:
            child = await self._open({**defaults, **given})
        if node in _below(child):
            raise QMPError(
                f"Making '{child.name}' a {role} child of '{node.name}' would create a cycle"
            )
        node.children[role] = child
        self.use(child, node)
        node.height = max(node.height, child.height + 1)
        if node.height > _MAX_HEIGHT:
            raise QMPError(
                f"more than {_MAX_HEIGHT} nodes on top of each other are not simulated by qemu-sim"
            )

    def _referenced(self, name: str) -> Node:
        if name not in self.nodes:
            raise QMPError(f"Cannot find device='{name}' nor node-name='{name}'")
        return self.nodes[name]

    def _name(self, node: Node, name: str | None) -> None:
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
        if not (node.active and self._active):
            node.set_active(active=False)
        self.nodes[name] = node

    def _drop_unused(self, node: Node) -> None:
        if not node.owned and not node.in_use:
            self._drop(node)

    def _drop(self, node: Node) -> None:
        """Close a node and what only it needed."""
        node.close()
        if self.nodes.get(node.name) is node:
            del self.nodes[node.name]
        for child in node.children.values():
            self.release(child, node)
        node.children = {}


def _below(node: Node) -> list[Node]:
    """Return a node and all that it stands on, each once."""
    found = [node]
    for each in found:
        found.extend(child for child in each.children.values() if child not in found)
    return found


def _inherited(node: Node) -> Options:
    """What a child takes over where its own options say nothing."""
    options: Mapping[str, Any] = node.options
    taken = {key: options[key] for key in ("cache", "force-share") if key in options}
    taken["read-only"] = node.read_only
    taken["auto-read-only"] = options.get("auto-read-only", node.CHILD == "file")
    return taken
