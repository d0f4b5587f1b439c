"""Snapshots and copies into image files that the client names by their path.

QEMU: qapi/block-core.json, blockdev.c

The other half of blockdev-snapshot, blockdev-mirror and blockdev-backup: here the image is
made and opened, and closed when nobody needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.block import named_image
from qemu_sim.commands import block_jobs
from qemu_sim.commands.block_core import root_node
from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.machine.job import Job
    from qemu_sim.machine.machine import Machine

Arguments = dict[str, Any]


@command("blockdev-snapshot-sync", raw=True)
async def blockdev_snapshot_sync(machine: Machine, arguments: Arguments) -> None:
    """Put a new image above another, in its place."""
    _, commit = await snapshot(machine, arguments)
    commit()


async def snapshot(
    machine: Machine, arguments: Arguments
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Do blockdev-snapshot-sync; returns what undoes it, but for the file, and what commits it."""
    graph = machine.board.graph
    node = machine.board.drives.node_of(arguments.get("device"), arguments.get("node-name"))
    graph.check_snapshot(node)
    given = {"format": "qcow2", **arguments}
    image = named_image.read(given, "snapshot-file", node_name="snapshot-node-name")
    if "node-name" in arguments and image.node_name is None:
        raise QMPError("New overlay node-name missing")
    if image.node_name in graph.nodes:
        raise QMPError("New overlay node-name already in use")
    overlay = await image.open(graph, node, node)
    try:
        undo = graph.snapshot(node, overlay)
    except QMPError:
        graph.disown(overlay)
        raise
    return undo, lambda: graph.drop_unused(overlay)  # nobody may have used the image


@command("drive-mirror", raw=True)
async def drive_mirror(machine: Machine, arguments: Arguments) -> None:
    """Copy an image into a file, and go over to the copy when a client says so."""
    source, sync = root_node(machine, arguments["device"]), arguments["sync"]
    image = named_image.read(arguments, "target", node_name="node-name")
    below = {"full": None, "none": source}.get(sync, source.backing)
    target = await image.open(machine.board.graph, source, below)
    try:
        block_jobs.start_mirror(machine, arguments, source, target, leaves=below)
    except QMPError:
        machine.board.graph.disown(target)
        raise


@command("drive-backup", raw=True)
async def drive_backup(machine: Machine, arguments: Arguments) -> None:
    """Copy an image as it is now into a file."""
    _, start, _ = await prepare_backup(machine, arguments)
    start()


async def prepare_backup(
    machine: Machine, arguments: Arguments
) -> tuple[Callable[[], None], Callable[[], None], Job]:
    """Return what gives the job of drive-backup up, what starts it, and it. Raises QMPError."""
    graph, sync = machine.board.graph, arguments["sync"]
    source = machine.board.drives.node_of(arguments["device"], arguments["device"])
    source.check_free()
    image = named_image.read(arguments, "target", node_name="target-node")
    below = {"top": source.backing, "none": source}.get(sync)
    target = await image.open(graph, source, below)
    try:
        job, start = block_jobs.prepare_backup(machine, arguments, source, target)
    except QMPError:
        graph.disown(target)
        raise

    def give_up() -> None:
        job.give_up()
        graph.disown(target)

    return give_up, start, job


@command("change-backing-file")
def change_backing_file(
    machine: Machine, *, device: str, image_node_name: str, backing_file: str
) -> None:
    """Write another name of the backing file into an image."""
    root = root_node(machine, device)
    image = machine.board.drives.node_of(None, image_node_name)
    if image.backing is None:
        raise QMPError("not allowing backing file change on an image without a backing file")
    if image not in block_jobs.images_from(root):
        raise QMPError(f"'{device}' and image file are not in the same chain")
    was_read_only = image.read_only
    image.set_read_only(False)
    try:
        image.set_backing(backing_file, image.TYPE)  # as if both had one format: QEMU says so
    finally:
        image.set_read_only(was_read_only)
