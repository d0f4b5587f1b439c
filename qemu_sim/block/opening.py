"""How a tree of nodes is opened: children, name, file, backing image.

QEMU: block.c (bdrv_open_inherit, bdrv_open_driver, bdrv_inherited_options)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qemu_sim import catalog
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.block.graph import Graph
    from qemu_sim.block.node import Node

Options = dict[str, Any]
_BACKING = {"read-only": True, "auto-read-only": False}
_INHERITED = ("cache", "force-share", "active")


async def open_tree(graph: Graph, options: Options) -> Node:
    """Return the root of a tree that nobody uses yet. Raises QMPError in QEMU's words."""
    node = _made(graph, options)
    opened: list[tuple[str, Node]] = []
    try:
        if not node.IS_PROTOCOL:
            opened = await _children(graph, node)
        graph.give_name(node, options.get("node-name"))
        await node.prepare()
        if node.IS_PROTOCOL:
            opened = await _children(graph, node)
        for role, child in opened:
            graph.attach(node, role, child)
        node.open()
        await _open_backing(graph, node)
    except BaseException:
        graph.drop(node)
        for _, child in opened:
            graph.drop_unused(child)
        raise
    return node


def _made(graph: Graph, options: Options) -> Node:
    made = catalog.find("qemu_sim.block", "driver", options["driver"])
    if made is None:
        raise QMPError(f"block driver '{options['driver']}' is not simulated by qemu-sim")
    if options.get("force-share", False) and not options.get("read-only", False):
        raise QMPError("force-share=on can only be used with read-only images")
    node: Node = made(options, graph.objects)
    node.active = node.active and graph.active
    return node


async def _children(graph: Graph, node: Node) -> list[tuple[str, Node]]:
    """Open what the node is made of; each child still lacks its parent."""
    opened: list[tuple[str, Node]] = []
    try:
        for role in node.roles:
            child = await _child(graph, node.options[role], _inherited(node))
            opened.append((role, child))
    except BaseException:
        for _, child in opened:
            graph.drop_unused(child)
        raise
    return opened


async def _open_backing(graph: Graph, node: Node) -> None:
    given = node.options["backing"] if "backing" in node.options else node.backing_reference()
    if given is None:
        return
    try:
        child = await _child(graph, given, {**_inherited(node), **_BACKING})
    except QMPError as error:
        raise error.behind("Could not open backing file: ") from None
    try:
        graph.attach(node, "backing", child)
    except QMPError:
        graph.drop_unused(child)
        raise


async def _child(graph: Graph, given: Options | str, defaults: Options) -> Node:
    if isinstance(given, str):
        return graph.found(given)
    return await open_tree(graph, {**defaults, **given})


def _inherited(node: Node) -> Options:
    """What a child takes over where its own options say nothing."""
    options: Mapping[str, Any] = node.options
    taken = {key: options[key] for key in _INHERITED if key in options}
    taken["read-only"] = node.read_only
    taken["auto-read-only"] = options.get("auto-read-only", node.CHILD == "file")
    return taken
