"""Jobs that make and copy images.

QEMU: qapi/block-core.json, blockdev.c, block/create.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.block import copying, creation
from qemu_sim.block.graph import Graph
from qemu_sim.commands.registry import command
from qemu_sim.errors import DeviceNotFound, QMPError
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
    source.check_free()
    if source.size != target.size:
        raise QMPError("Source and target image have different sizes")
    job = _make(machine, "backup", arguments, source)

    async def work(job: Job) -> None:
        await copying.backup(job, source, target, top_only=sync == "top")

    def start() -> None:
        _hold(graph, job, source, target)
        job.start(work, drained=True)

    return job, start


@command("blockdev-mirror", raw=True)
def blockdev_mirror(machine: Machine, arguments: Arguments) -> None:
    """Copy an image, and go over to the copy when a client says so."""
    drives, device, target = machine.board.drives, arguments["device"], arguments["target"]
    nodes = drives.node_of(device, device), drives.node_of(target, target)
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
    job = _make(machine, "mirror", arguments, source)
    job.copy_mode = arguments.get("copy-mode", job.copy_mode)

    async def work(job: Job) -> None:
        await copying.mirror(job, source, target, sync)

    def settled() -> None:
        if job.pivots:
            if leaves is not None:
                graph.set_backing(target, leaves)
            graph.replace(source, target)

    job.settled.append(settled)
    _hold(graph, job, source, target)
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
    _check_images(copying.chain(top))
    top.check_free()
    if top.read_only:
        raise QMPError("Block node is read-only")
    job = _make(machine, "stream", arguments, top)

    async def work(job: Job) -> None:
        await copying.stream(job, top, base)

    def settled() -> None:
        if job.succeeded and top.backing is not None and top.backing is not base:
            copying.replace_backing(graph, top, base, arguments.get("backing-file"))

    _hold(graph, job, top)
    job.settled.append(settled)
    job.start(work)


@command("block-commit", raw=True)
def block_commit(machine: Machine, arguments: Arguments) -> None:
    """Write what images hold into one below them."""
    graph, device = machine.board.graph, arguments["device"]
    try:
        active = machine.board.drives.node_of(device, device)
    except QMPError:
        raise DeviceNotFound(f"Device '{device}' not found") from None
    active.check_free()
    images = copying.chain(active)
    _check_images(images)
    top = _in_chain(machine, images, arguments, "top") or active
    base = _in_chain(machine, images, arguments, "base") or images[-1]
    if top is base:
        raise QMPError("cannot commit an image into itself")
    if images.index(top) > images.index(base):
        raise QMPError(f"'{base.name}' is not in this backing file chain")
    was_read_only = base.read_only
    base.set_read_only(False)
    job = _make(machine, "commit", arguments, top)

    async def work(job: Job) -> None:
        await copying.commit(job, top, base, active=top is active)

    def settled() -> None:
        if job.pivots:
            graph.replace(top, base)
            return
        if job.succeeded and top is not active:
            for overlay in _overlays(graph, top):
                copying.replace_backing(graph, overlay, base, arguments.get("backing-file"))
        base.set_read_only(was_read_only)

    job.settled.append(settled)
    _hold(graph, job, active, top, base)
    job.start(work)


def _check_images(images: list[Node]) -> None:
    """Raise QMPError where a filter is between images whose headers would have to change."""
    for image in images:
        if image.IS_FILTER:
            raise QMPError(f"a job across the filter '{image.name}' is not simulated by qemu-sim")


def _make(machine: Machine, kind: str, arguments: Arguments, node: Node) -> Job:
    """Return a job for `node`, called as its drive unless the client names it."""
    drives = machine.board.drives.listed()
    named = next((drive.name for drive in drives if drive.node is node), "")
    wishes = Wishes(
        auto_finalize=arguments.get("auto-finalize", True),
        auto_dismiss=arguments.get("auto-dismiss", True),
        speed=arguments.get("speed", 0),
    )
    return machine.jobs.make(arguments.get("job-id", named), kind, wishes)


def _hold(graph: Graph, job: Job, source: Node, *others: Node) -> None:
    """Keep the nodes as long as the job works on them."""
    for node in (source, *others):
        job.edges.append(graph.use(node, job, "main node", stays=True))

    def release() -> None:
        while job.edges:
            graph.release(job.edges.pop())

    job.settled.append(release)


def _base(machine: Machine, top: Node, arguments: Arguments) -> Node | None:
    if "base-node" not in arguments and "base" not in arguments:
        return None
    images = copying.chain(top)
    if "base" in arguments:
        return _by_filename(images[1:], arguments["base"])
    base = machine.board.drives.node_of(None, arguments["base-node"])
    if base not in images[1:]:
        raise QMPError(f"Node '{base.name}' is not a backing image of '{top.name}'")
    return base


def _in_chain(
    machine: Machine, images: list[Node], arguments: Arguments, which: str
) -> Node | None:
    """Return the image that `top`, `base` and their -node forms name; None for neither."""
    name, path = arguments.get(f"{which}-node"), arguments.get(which)
    if name is not None and path is not None:
        raise QMPError(f"'{which}-node' and '{which}' are mutually exclusive")
    if name is None:
        return None if path is None else _by_filename(images, path)
    node = machine.board.drives.node_of(None, name)
    if node not in images:
        raise QMPError(f"'{name}' is not in this backing file chain")
    return node


def _by_filename(images: list[Node], path: str) -> Node:
    for image in images:
        if image.filename == path:
            return image
    raise QMPError(f"Can't find '{path}' in the backing chain")


def _overlays(graph: Graph, below: Node) -> list[Node]:
    return [node for node in graph.listed() if node.children.get("backing") is below]
