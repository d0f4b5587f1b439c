"""Jobs that make and copy images.

QEMU: qapi/block-core.json, blockdev.c, block/create.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.block import copying, creation, job_nodes
from qemu_sim.block.graph import Graph
from qemu_sim.commands.block_core import root_node
from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError
from qemu_sim.machine.job import Job, Wishes

if TYPE_CHECKING:
    from qemu_sim.block.node import Node
    from qemu_sim.machine.machine import Machine

Arguments = dict[str, Any]
images_from = copying.chain
_MIN_GRANULARITY, _MAX_GRANULARITY = 512, 64 << 20


@command("blockdev-create")
def blockdev_create(machine: Machine, *, job_id: str, options: Arguments) -> None:
    """Make an image file."""
    creation.check(options)
    graph = machine.board.graph
    job = machine.jobs.make(job_id, "create", Wishes(is_block=False, auto_dismiss=False))

    async def work(job: Job) -> None:
        job.done = job.total  # QEMU says so, however it ends
        await creation.create(graph, options)

    job.start(work)


@command("blockdev-backup", raw=True)
def blockdev_backup(machine: Machine, arguments: Arguments) -> None:
    """Copy an image as it is now."""
    _, start = prepare_blockdev_backup(machine, arguments)
    start()


def prepare_blockdev_backup(
    machine: Machine, arguments: Arguments
) -> tuple[Job, Callable[[], None]]:
    """Return the job of blockdev-backup, and what starts it. Raises QMPError."""
    drives, device, target = machine.board.drives, arguments["device"], arguments["target"]
    nodes = drives.node_of(device, device), drives.node_of(target, target)
    return prepare_backup(machine, arguments, *nodes)


def prepare_backup(
    machine: Machine, arguments: Arguments, source: Node, target: Node
) -> tuple[Job, Callable[[], None]]:
    """Return the job that copies `source`, and what starts it. Raises QMPError."""
    graph, sync = machine.board.graph, arguments["sync"]
    if "bitmap" in arguments:
        raise QMPError(f"Bitmap '{arguments['bitmap']}' could not be found")
    if sync in ("bitmap", "incremental"):
        raise QMPError(f"must provide a valid bitmap name for '{sync}' sync mode")
    if sync == "none":
        raise QMPError("a backup with sync=none is not simulated by qemu-sim")
    if source is target:
        raise QMPError("Source and target cannot be the same")
    source.check_free(by_jobs=True)
    target.check_free(by_jobs=True)
    if source.size != target.size:
        raise QMPError("Source and target image have different sizes")
    job = Making(machine, "backup", arguments, source)
    job_nodes.for_backup(graph, job, source, target, arguments.get("filter-node-name"))

    async def work(job: Job) -> None:
        await copying.backup(job, source, target, top_only=sync == "top")

    return job.made, lambda: job.made.start(work, drained=True)


@command("blockdev-mirror", raw=True)
def blockdev_mirror(machine: Machine, arguments: Arguments) -> None:
    """Copy an image, and go over to the copy when a client says so."""
    drives, device, target = machine.board.drives, arguments["device"], arguments["target"]
    nodes = root_node(machine, device), drives.node_of(target, target)
    start_mirror(machine, arguments, *nodes)


def start_mirror(
    machine: Machine,
    arguments: Arguments,
    source: Node,
    target: Node,
    *,
    leaves: Node | None = None,
) -> None:
    """Start the job that copies `source`. Raises QMPError in QEMU's words.

    `leaves` is what the copy stands on, once it is gone over to.
    """
    graph, sync = machine.board.graph, arguments["sync"]
    _check_mirror(graph, arguments, source)
    if sync in ("bitmap", "incremental"):
        raise QMPError(f"Sync mode '{sync}' not supported")
    source.check_free()
    if source is target:
        raise QMPError("Can't mirror node into itself")
    target.check_free()
    making = Making(machine, "mirror", arguments, source)
    name = arguments.get("filter-node-name")
    nodes = job_nodes.for_mirror(graph, making, source, target, name)
    job = making.made
    job.copy_mode = arguments.get("copy-mode", job.copy_mode)

    async def work(job: Job) -> None:
        await copying.mirror(job, source, target, sync)

    def rearrange() -> None:
        if job.pivots:
            if leaves is not None:
                graph.set_backing(target, leaves)
            graph.replace(source, target)

    nodes.rearrange = rearrange
    job.start(work)


def _check_mirror(graph: Graph, arguments: Arguments, source: Node) -> None:
    granularity = arguments.get("granularity", 0)
    if granularity and not _MIN_GRANULARITY <= granularity <= _MAX_GRANULARITY:
        raise QMPError("Parameter 'granularity' expects a value in range [512B, 64MB]")
    if granularity & (granularity - 1):
        raise QMPError("Parameter 'granularity' expects a power of 2")
    if arguments.get("buf-size", 0) < 0:
        raise QMPError("Invalid parameter 'buf-size'")
    if "replaces" in arguments and graph.node(arguments["replaces"]) is not source:
        raise QMPError("a mirror that 'replaces' another node is not simulated by qemu-sim")


@command("block-stream", raw=True)
def block_stream(machine: Machine, arguments: Arguments) -> None:
    """Pull what is below an image into it."""
    graph = machine.board.graph
    top = machine.board.drives.node_of(arguments["device"], arguments["device"])
    if "base" in arguments and "base-node" in arguments:
        raise QMPError("'base' and 'base-node' cannot be specified at the same time")
    base = _base(machine, top, arguments)
    if "bottom" in arguments:
        raise QMPError("block-stream with 'bottom' is not simulated by qemu-sim")
    check_images(copying.chain(top))
    top.check_free()
    if top.read_only:
        raise QMPError("Block node is read-only")
    making = Making(machine, "stream", arguments, top)
    images = copying.chain(top)
    images = images[: images.index(base) if base is not None else None]
    nodes = job_nodes.for_stream(graph, making, images, arguments.get("filter-node-name"))
    job = making.made

    async def work(job: Job) -> None:
        await copying.stream(job, top, base)

    def rearrange() -> None:
        if job.succeeded and top.backing is not None and top.backing is not base:
            copying.replace_backing(graph, top, base, arguments.get("backing-file"))

    nodes.rearrange = rearrange
    job.start(work)


def check_images(images: list[Node]) -> None:
    """Raise QMPError where a filter is between images whose headers would have to change."""
    for image in images:
        if image.IS_FILTER:
            raise QMPError(f"a job across the filter '{image.name}' is not simulated by qemu-sim")


class Making:
    """The making of a job for `node`, called as its drive unless the client names it."""

    made: Job

    def __init__(self, machine: Machine, kind: str, arguments: Arguments, node: Node) -> None:
        drives = machine.board.drives.listed()
        named = next((drive.name for drive in drives if drive.node is node), "")
        self._jobs = machine.jobs
        self._id: str = arguments.get("job-id", named)
        self._kind = kind
        self._wishes = Wishes(
            auto_finalize=arguments.get("auto-finalize", True),
            auto_dismiss=arguments.get("auto-dismiss", True),
            speed=arguments.get("speed", 0),
        )

    def __call__(self) -> Job:
        """Make it. Raises QMPError in QEMU's words."""
        self.made = self._jobs.make(self._id, self._kind, self._wishes)
        return self.made


def _base(machine: Machine, top: Node, arguments: Arguments) -> Node | None:
    if "base-node" not in arguments and "base" not in arguments:
        return None
    images = copying.chain(top)
    if "base" in arguments:
        return by_filename(images[1:], arguments["base"])
    base = machine.board.drives.node_of(None, arguments["base-node"])
    if base not in images[1:]:
        raise QMPError(f"Node '{base.name}' is not a backing image of '{top.name}'")
    return base


def by_filename(images: list[Node], path: str) -> Node:
    """Return the image of that name. Raises QMPError in QEMU's words."""
    for image in images:
        if image.filename == path:
            return image
    raise QMPError(f"Can't find '{path}' in the backing chain")
