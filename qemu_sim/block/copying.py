"""The work of block jobs: bytes really go from image to image.

QEMU: block/mirror.c, block/backup.c, block/stream.c, block/commit.c

No guest writes meanwhile; what clients of an export write is copied when it is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from qemu_sim.block.graph import Graph
from qemu_sim.block.node import Node
from qemu_sim.errors import QMPError

_GRAIN = 1 << 16
_STEP = 16 * _GRAIN
_ZEROS = bytes(_GRAIN)


class Job(Protocol):
    """What the work needs of its job."""

    done: int
    total: int

    async def step(self, done: int) -> None:
        """Report progress, let others run, and wait while a client has the job paused."""

    async def ready(self) -> None:
        """Say that both sides are equal, and wait until a client ends it."""

    def report(self, operation: str) -> None:
        """Say that a read or write has failed."""


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


class Pair:
    """A source and a target, whose data are made equal part by part."""

    def __init__(self, job: Job, source: Node, target: Node) -> None:
        self.source = source
        self.target = target
        self._job = job
        self._one_at_a_time = asyncio.Lock()
        self._failure: QMPError | None = None
        self._are_equal = False

    async def transfer(self, offset: int, length: int) -> None:
        """Make the target say there what the source says. Raises QMPError."""
        async with self._one_at_a_time:
            alike, is_zero = self.source.extent(offset, length)
            if is_zero and alike >= length:
                data = bytes(length)
            else:
                with self._reported("read"):
                    data = await self.source.fetch(offset, length)
            with self._reported("write"):
                for start, size, is_zero in _runs(length, _is_zero(data)):
                    if is_zero:
                        await self.target.store_zeros(offset + start, size)
                    else:
                        await self.target.store(offset + start, data[start : start + size])

    async def follow(self, offset: int, length: int) -> None:
        """Transfer what was stored in the source; a failure is the job's."""
        end = offset + length
        try:
            for start in range(offset - offset % _GRAIN, end, _GRAIN):
                size = min(_GRAIN, self.source.size - start)
                await self.transfer(start, size)
                if self._are_equal:
                    self._job.total += size
                    self._job.done += size
        except QMPError as error:
            self._failure = error

    async def ready(self, held: Holds) -> None:
        """Say that both sides are equal, after what `held` says was copied; wait for the end."""
        job, grains = self._job, _grains(self.source.size)
        job.done = job.total = sum(length for offset, length in grains if held(offset, length))
        self._are_equal = True
        await job.ready()

    async def finish(self) -> None:
        """Have the target's disk take it all. Raises QMPError where anything is missing."""
        if self._failure is not None:
            raise self._failure
        with self._reported("write"):
            await self.target.sync()

    @contextmanager
    def _reported(self, operation: str) -> Iterator[None]:
        try:
            yield
        except QMPError:
            self._job.report(operation)
            raise


async def copy(job: Job, pair: Pair, wanted: Holds) -> None:
    """Make both sides equal, where `wanted(offset, length)`."""
    size = job.total = pair.source.size
    for start in range(0, size, _STEP):
        length = min(_STEP, size - start)
        for offset, piece, is_wanted in _runs(length, wanted, start):
            if is_wanted:
                await pair.transfer(offset, piece)
        if length == _STEP:
            await job.step(start + length)
    await job.step(size)


async def backup(job: Job, source: Node, target: Node, *, top_only: bool) -> None:
    """Copy an image, or only what it does not share with its backing file."""
    await copy(job, Pair(job, source, target), held_by([source]) if top_only else _anything)


async def mirror(job: Job, source: Node, target: Node, sync: str) -> None:
    """Copy an image, then wait for a client who ends it. Raises QMPError."""
    if source.size != target.size:
        job.total = 0
        raise QMPError("Source and target image have different sizes")
    images = {"full": chain(source), "top": [source], "none": []}[sync]
    held = held_by(images)
    pair = Pair(job, source, target)
    source.followers.append(pair.follow)
    try:
        await copy(job, pair, _anything if sync == "full" else held)
        # Only what was there counts; the rest was zero on both sides.
        await pair.ready(held)
        await pair.finish()
    finally:
        source.followers.remove(pair.follow)


async def commit(job: Job, top: Node, base: Node, *, active: bool) -> None:
    """Write what the images from `top` down to `base` hold into `base`."""
    images = chain(top)
    images = images[: images.index(base)]
    if base.size < top.size:
        base.resize(top.size)
    held = held_by(images)
    pair = Pair(job, top, base)
    top.followers.append(pair.follow)
    try:
        await copy(job, pair, held)
        if active:
            await pair.ready(held)
        await pair.finish()
    finally:
        top.followers.remove(pair.follow)


async def stream(job: Job, top: Node, base: Node | None) -> None:
    """Pull what is between `top` and `base` into `top`."""
    images = chain(top)
    between = held_by(images[1 : images.index(base) if base is not None else None])
    await copy(job, Pair(job, top, top), lambda *grain: not top.holds(*grain) and between(*grain))


def replace_backing(graph: Graph, node: Node, base: Node | None, name: str | None) -> None:
    """Put `node` on `base`, in its header as well; `name` is what that calls it."""
    if base is None:
        node.set_backing(None, None)
    else:
        node.set_backing(name or base.filename, base.TYPE)
    graph.set_backing(node, base)


def _grains(size: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Split `size` bytes: offset, `start` for the first, and length of each part."""
    end = start + size
    return ((offset, min(_GRAIN, end - offset)) for offset in range(start, end, _GRAIN))


def _runs(size: int, kind: Holds, start: int = 0) -> Iterator[tuple[int, int, bool]]:
    """Join parts that are of one kind: offset and length of each run, and its kind."""
    run, length, is_kind = start, 0, False
    for offset, part in _grains(size, start):
        found = kind(offset, part)
        if length and found != is_kind:
            yield run, length, is_kind
            run, length = offset, 0
        length, is_kind = length + part, found
    if length:
        yield run, length, is_kind


def _is_zero(data: bytes) -> Holds:
    """Return whether a range of `data` is all zeros."""
    return lambda offset, length: data[offset : offset + length] == _ZEROS[:length]


def _anything(_offset: int, _length: int) -> bool:
    return True
