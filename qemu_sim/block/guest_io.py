"""What users of a node ask of it, as a guest would: bytes in, bytes out.

QEMU: block/io.c

Data on this host are there at once. Those on another are waited for, so that whoever may
meet a node of that kind asks by `fetch` and `store`, and not by `read` and `write`.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qemu_sim.block.bitmap import Bitmap

_PIECE = 1 << 20

Follow = Callable[[int, int], Awaitable[None]]
Tell = Callable[[int, int], None]


class GuestIO:
    """The part of a node that has to do with its data."""

    def __init__(self) -> None:
        self.bitmaps: dict[str, Bitmap] = {}
        self.followers: list[Follow] = []
        """Each is told where something was stored, offset and length, and waited for."""
        self.unmaps = False
        """Whether room is given back where nobody needs the data any more."""
        self.highest_write = 0
        """The end of the write that reached farthest."""
        self.write_threshold = 0
        """Where a write has to end behind for `tell_threshold` to be called once; 0 for never."""
        self.tell_threshold: Tell = _forget
        """Called with the threshold, and how many bytes it was exceeded by."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes that a guest would see."""

    @property
    @abstractmethod
    def below(self) -> GuestIO | None:
        """The node whose data these are; None where they are the node's own."""

    @property
    def window(self) -> int:
        """Where the data begin in those of the node below."""
        return 0

    # At once.

    def read(self, offset: int, length: int) -> bytes:
        """Return what a guest would read; beyond the end there are zeros. Raises QMPError."""
        return self._provider.read(self.window + offset, length)

    def write(self, offset: int, data: bytes) -> None:
        """Store `data`. Raises QMPError."""
        self._provider.write(self.window + offset, data)

    def flush(self) -> None:
        """Have the host's disk take what was written. Raises QMPError."""
        self._provider.flush()

    def extent(self, offset: int, length: int) -> tuple[int, bool]:
        """Return how many bytes from `offset` are alike, and whether they are known as zeros."""
        if self.below is None:
            return length, False
        return self.below.extent(self.window + offset, length)

    # In time.

    async def fetch(self, offset: int, length: int) -> bytes:
        """Return what a guest would read. Raises QMPError."""
        if self.below is None:
            return self.read(offset, length)
        return await self.below.fetch(self.window + offset, length)

    async def store(self, offset: int, data: bytes) -> None:
        """Store `data` as a guest would. Raises QMPError."""
        self.note_write(offset + len(data))
        await self.put(offset, data)
        await self._stored(offset, len(data))

    async def store_zeros(self, offset: int, length: int) -> None:
        """Store zeros as a guest would; where they are already, nothing is done."""
        self.note_write(offset + length)
        await self.put_zeros(offset, length)
        await self._stored(offset, length)

    async def discard(self, offset: int, length: int) -> None:
        """Give up data, whatever is read there then. Raises QMPError."""
        if self.unmaps:
            await self.unmap(offset, length)
            await self._stored(offset, length)

    async def unmap(self, offset: int, length: int) -> None:
        """Give room back, as far as the driver can."""
        if self.below is not None:
            await self.below.discard(self.window + offset, length)

    async def put(self, offset: int, data: bytes) -> None:
        """Store `data`, whoever wants to know of it."""
        if self.below is None:
            self.write(offset, data)
        else:
            await self.below.store(self.window + offset, data)

    async def put_zeros(self, offset: int, length: int) -> None:
        """Store zeros, whoever wants to know of it."""
        if self.below is not None:
            await self.below.store_zeros(self.window + offset, length)
            return
        end = offset + length
        while offset < end:
            alike, is_zero = self.extent(offset, end - offset)
            if not is_zero:
                alike = min(alike, _PIECE)
                self.write(offset, bytes(alike))
                await asyncio.sleep(0)  # others want to be answered meanwhile
            offset += alike

    async def sync(self) -> None:
        """Have what was stored reach the disk. Raises QMPError."""
        if self.below is None:
            self.flush()
        else:
            await self.below.sync()

    def note_write(self, end: int) -> None:
        """Keep in mind that something is written, up to `end`.

        QEMU: block/write-threshold.c
        """
        self.highest_write = max(self.highest_write, end)
        threshold = self.write_threshold
        if threshold and end > threshold:
            self.write_threshold = 0
            self.tell_threshold(threshold, end - threshold)

    async def _stored(self, offset: int, length: int) -> None:
        for bitmap in self.bitmaps.values():
            bitmap.mark(offset, length)
        for follow in self.followers:
            await follow(offset, length)

    @property
    def _provider(self) -> GuestIO:
        below = self.below
        assert below is not None, "a node with data of its own has to say what they are"
        return below


def _forget(_threshold: int, _exceeded: int) -> None:
    """Nobody wants to know."""
