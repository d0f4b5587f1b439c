"""A stream that is all there, read by the functions that otherwise wait for a peer."""

from __future__ import annotations

import mmap
from collections.abc import Awaitable
from typing import TypeVar

from qemu_sim.errors import WireError

T = TypeVar("T")


class BytesReader:
    """Reads `data` from `at` on, which may be moved."""

    def __init__(self, data: bytes | bytearray | mmap.mmap, at: int = 0) -> None:
        self.data = data
        self.at = at

    @property
    def left(self) -> int:
        """How many bytes are there still."""
        return len(self.data) - self.at

    async def read(self, size: int) -> bytes:
        """Return the next `size` bytes. Raises WireError when there are fewer."""
        if size > self.left:
            raise WireError(f"{size} bytes are expected and {max(self.left, 0)} are left")
        start, self.at = self.at, self.at + size
        return bytes(self.data[start : self.at])


def run(reading: Awaitable[T]) -> T:
    """Return what `reading`, which only awaits a BytesReader, comes to."""
    steps = reading.__await__()
    try:
        next(steps)
    except StopIteration as done:
        value: T = done.value
        return value
    raise AssertionError("reading from bytes does not wait")
