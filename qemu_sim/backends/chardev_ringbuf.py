"""Chardev `ringbuf`: keeps the last bytes that were written, for ringbuf-read to take.

QEMU: chardev/char-ringbuf.c
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd

_DEFAULT_SIZE = 64 << 10


class ChardevRingbuf(Chardev):
    """`size` is in bytes, a power of two."""

    TYPE = "ringbuf"

    def __init__(self, id: str, options: dict[str, Any], fds: Sequence[Fd] = ()) -> None:
        super().__init__(id, options, fds)
        self._size: int = options.get("size", _DEFAULT_SIZE)
        if self._size & (self._size - 1):
            raise QMPError("size of ringbuf chardev must be power of two")
        self._bytes = bytearray()

    def send(self, data: bytes) -> None:
        """Keep `data`; the oldest bytes make room."""
        self._bytes += data
        del self._bytes[: max(len(self._bytes) - self._size, 0)]

    def read(self, size: int) -> bytes:
        """Take the oldest bytes, at most `size`."""
        taken = bytes(self._bytes[:size])
        del self._bytes[:size]
        return taken
