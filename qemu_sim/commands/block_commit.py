"""The job that writes images into one below them.

QEMU: qapi/block-core.json, blockdev.c (qmp_block_commit), block/commit.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.block import copying, job_nodes
from qemu_sim.block.job_nodes import Committed
from qemu_sim.commands.block_jobs import Arguments, Making, by_filename, check_images
from qemu_sim.commands.registry import command
from qemu_sim.errors import DeviceNotFound, QMPError

if TYPE_CHECKING:
    from qemu_sim.block.graph import Graph
    from qemu_sim.block.node import Node
    from qemu_sim.machine.job import Job
    from qemu_sim.machine.machine import Machine


@command("block-commit", raw=True)
def block_commit(machine: Machine, arguments: Arguments) -> None:
    """Write what images hold into one below them."""
    graph, what = machine.board.graph, _read(machine, arguments)
    base, was_read_only = what.base, what.base.read_only
    graph.set_read_only(base, read_only=False)
    making = Making(machine, "commit", arguments, what.active)
    try:
        nodes = job_nodes.for_commit(graph, making, what, arguments.get("filter-node-name"))
    except QMPError:
        graph.set_read_only(base, read_only=was_read_only)
        raise
    job = making.made

    async def work(job: Job) -> None:
        await copying.commit(job, what.top, base, active=what.is_active)

    def rearrange() -> None:
        if job.pivots:
            graph.replace(what.top, base)
        elif job.succeeded and not what.is_active and nodes.filter is not None:
            for overlay in _overlays(graph, nodes.filter):
                copying.replace_backing(graph, overlay, base, arguments.get("backing-file"))

    def settled() -> None:
        if not job.pivots:
            graph.set_read_only(base, read_only=was_read_only)

    nodes.rearrange = rearrange
    job.settled.append(settled)
    job.start(work)


def _read(machine: Machine, arguments: Arguments) -> Committed:
    """Return what shall be written into what. Raises QMPError in QEMU's words."""
    device = arguments["device"]
    try:
        active = machine.board.drives.node_of(device, device)
    except QMPError:
        raise DeviceNotFound(f"Device '{device}' not found") from None
    active.check_free()
    images = copying.chain(active)
    check_images(images)
    top = _in_chain(machine, images, arguments, "top") or active
    base = _in_chain(machine, images, arguments, "base") or images[-1]
    if top is base:
        raise QMPError("cannot commit an image into itself")
    if images.index(top) > images.index(base):
        raise QMPError(f"'{base.name}' is not in this backing file chain")
    return Committed(active, images[images.index(top) : images.index(base)], base)


def _in_chain(
    machine: Machine, images: list[Node], arguments: Arguments, which: str
) -> Node | None:
    """Return the image that `top`, `base` and their -node forms name; None for neither."""
    name, path = arguments.get(f"{which}-node"), arguments.get(which)
    if name is not None and path is not None:
        raise QMPError(f"'{which}-node' and '{which}' are mutually exclusive")
    if name is None:
        return None if path is None else by_filename(images, path)
    node = machine.board.drives.node_of(None, name)
    if node not in images:
        raise QMPError(f"'{name}' is not in this backing file chain")
    return node


def _overlays(graph: Graph, below: Node) -> list[Node]:
    return [node for node in graph.listed() if node.children.get("backing") is below]
