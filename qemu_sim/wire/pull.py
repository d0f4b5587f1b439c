"""A parser that reads as if all bytes were there: it says how many it needs, and gets them.

def steps() -> Steps:
    (length,) = _LENGTH.unpack((yield _LENGTH.size))
    text = yield length
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

_T = TypeVar("_T")
Reads = Generator[int, bytes, _T]
"""Part of such a parser, and what it comes to."""
Steps = Reads[None]


class Pull:
    """Runs `steps` as far as the bytes that have arrived reach; what it raises goes through."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._wanted = next(steps)
        self._unread = bytearray()
        self.ended = False

    def receive(self, data: bytes) -> None:
        """Take bytes as they arrive; those behind the end of `steps` are left alone."""
        self._unread += data
        while not self.ended and len(self._unread) >= self._wanted:
            piece = bytes(self._unread[: self._wanted])
            del self._unread[: self._wanted]
            try:
                self._wanted = self._steps.send(piece)
            except StopIteration:
                self.ended = True
