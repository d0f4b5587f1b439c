"""How a node is given new options.

QEMU: block.c (bdrv_reopen_prepare), blockdev.c (qmp_blockdev_reopen)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.block.edge import trial
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.block.graph import Graph
    from qemu_sim.block.node import Node

Options = dict[str, Any]


def reopen(graph: Graph, options: Options) -> None:
    """Give a node new options. Raises QMPError in QEMU's words."""
    if "node-name" not in options:
        raise QMPError("node-name not specified")
    node = graph.node(options["node-name"])
    _check(graph, node, options)
    before, was_read_only = node.options, node.read_only
    kept = {key: value for key, value in before.items() if key in node.children}
    changes = _changes_mode(node, options)
    if changes:
        node.set_read_only(options.get("read-only", False))
    node.set_options({**options, **kept})
    try:
        with trial(node, reopened=node):
            pass
    except QMPError:
        if changes:
            node.set_read_only(was_read_only)
        node.set_options(before)
        raise


def _check(graph: Graph, node: Node, options: Options) -> None:
    if options["driver"] != node.TYPE:
        raise QMPError("Cannot change the option 'driver'")
    for role, child in node.children.items():
        given = options.get(role, child.name)
        if isinstance(given, str) and given != child.name:
            if given not in graph.nodes:
                raise QMPError(f"Cannot find device='' nor node-name='{given}'")
            raise QMPError(f"replacing '{role}' of a node is not simulated by qemu-sim")
    fixed = {key for key in node.STRONG if options.get(key) != node.options.get(key)}
    if fixed:
        raise QMPError(f"Cannot change the option '{min(fixed)}'")


def _changes_mode(node: Node, options: Options) -> bool:
    """Whether a file is to be opened in another way.

    A child that was opened with its parent only follows if the new options say `read-only`.
    """
    if options.get("read-only", False) == node.options.get("read-only", False):
        return False
    return node.IS_PROTOCOL or "read-only" in options
