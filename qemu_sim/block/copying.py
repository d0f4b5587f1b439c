"""The work of block jobs: bytes really go from image to image.

QEMU: block/mirror.c, block/backup.c, block/stream.c, block/commit.c

No guest writes meanwhile, so one pass makes both sides equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from qemu_sim.block.graph import Graph
from qemu_sim.block.node import Node
from qemu_sim.errors import QMPError

_GRAIN = 1 << 16
_GRAINS_A_STEP = 16


class Job(Protocol):
    """What the work needs of its job."""

    done: int
    total: int

    async def step(self, done: int) -> None:
        """Report progress, let others run, and wait while a client has the job paused."""

    async def ready(self) -> None:
        """Say that both sides are equal, and wait until a client ends it."""


Holds = Callable[[int, int], bool]


def chain(top: Node) -> list[Node]:
    """Return an image and those below it, as far down as they go."""
    found = [top]
    while (below := found[-1].backing) is not None:
        found.append(below)
    return found


def held_by(images: list[Node]) -> Holds:
    """Return whether any of the images holds a range."""
    return lambda offset, length: any(image.holds(offset, length) for image in images)


async def copy(job: Job, source: Node, target: Node, wanted: Holds) -> None:
    """Make `target` say what `source` says, where `wanted(offset, length)`."""
    job.total = source.size
    for number, (offset, length) in enumerate(_grains(source.size), 1):
        if wanted(offset, length):
            data = source.read(offset, length)
            leans = target.backing is not None and not target.holds(offset, length)
            if leans or target.read(offset, length) != data:
                target.write(offset, data)
        if number % _GRAINS_A_STEP == 0:
            await job.step(offset + length)
    await job.step(source.size)


async def backup(job: Job, source: Node, target: Node, *, top_only: bool) -> None:
    """Copy an image, or only what it does not share with its backing file."""
    await copy(job, source, target, held_by([source]) if top_only else _anything)


async def mirror(job: Job, source: Node, target: Node, sync: str) -> None:
    """Copy an image, then wait for a client who ends it. Raises QMPError."""
    if source.size != target.size:
        job.total = 0
        raise QMPError("Source and target image have different sizes")
    images = {"full": chain(source), "top": [source], "none": []}[sync]
    held = held_by(images)
    await copy(job, source, target, _anything if sync == "full" else held)
    # Only what was there counts; the rest was zero on both sides.
    await _ready(job, source, held)


async def commit(job: Job, top: Node, base: Node, *, active: bool) -> None:
    """Write what the images from `top` down to `base` hold into `base`."""
    images = chain(top)
    images = images[: images.index(base)]
    if base.size < top.size:
        base.resize(top.size)
    held = held_by(images)
    await copy(job, top, base, held)
    if active:
        await _ready(job, top, held)


async def _ready(job: Job, source: Node, held: Holds) -> None:
    """Say that both sides are equal, after what `held` says was copied."""
    job.total = sum(length for offset, length in _grains(source.size) if held(offset, length))
    job.done = job.total
    await job.ready()


async def stream(job: Job, top: Node, base: Node | None) -> None:
    """Pull what is between `top` and `base` into `top`."""
    images = chain(top)
    between = held_by(images[1 : images.index(base) if base is not None else None])
    await copy(job, top, top, lambda *grain: not top.holds(*grain) and between(*grain))


def replace_backing(graph: Graph, node: Node, base: Node | None, name: str | None) -> None:
    """Put `node` on `base`, in its header as well; `name` is what that calls it."""
    if base is None:
        node.set_backing(None, None)
    else:
        node.set_backing(name or base.filename, base.TYPE)
    graph.set_backing(node, base)


def _grains(size: int) -> Iterator[tuple[int, int]]:
    """Split an image: offset and length of each part."""
    return ((offset, min(_GRAIN, size - offset)) for offset in range(0, size, _GRAIN))


def _anything(_offset: int, _length: int) -> bool:
    return True
