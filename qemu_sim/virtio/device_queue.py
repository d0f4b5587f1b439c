"""A split virtqueue, the device's side of it.

VIRTIO 1.2, 2.7 "Split Virtqueues"

The ring is in memory that the driver writes, so every number read from it is checked:
WireError on a chain that is too long, loops, or leaves guest RAM.
"""

from __future__ import annotations

from typing import NamedTuple

from qemu_sim.errors import WireError
from qemu_sim.virtio.queue import (
    AVAIL_NO_INTERRUPT,
    DESC,
    DESC_INDIRECT,
    DESC_NEXT,
    DESC_WRITE,
    ENTRIES,
    FLAGS,
    INDEX,
    USED_ELEMENT,
    USED_NO_NOTIFY,
    WRAP,
    Memory,
    Ring,
    fence,
    words,
)


class Chain(NamedTuple):
    """What the driver gave: guest ranges (address, length) to read, then those to write."""

    head: int
    readable: list[tuple[int, int]]
    writable: list[tuple[int, int]]


class DeviceQueue:
    """Takes chains from the driver and returns them."""

    def __init__(self, memory: Memory, ring: Ring, base: int) -> None:
        """Serve `ring`, going on at `base`: chains ever taken, modulo 2^16.

        Raises WireError when the ring is not in `memory`.
        """
        self.ring = ring
        self.base = base
        self._memory = memory
        try:
            self._desc_ram, self._desc = memory.locate(ring.desc, ring.desc_length)
            self._used_ram, self._used = memory.locate(ring.used, ring.used_length)
            self._avail_words = words(memory, ring.avail, ring.avail_length)
            self._used_words = words(memory, ring.used, ring.used_length)
        except IndexError as error:
            raise WireError(f"virtqueue outside of guest memory: {error}") from None
        self.used_index: int = self._used_words[INDEX]

    def pop(self) -> Chain | None:
        """Take the next chain. Raises WireError when it cannot be valid."""
        available: int = self._avail_words[INDEX]
        waiting = (available - self.base) % WRAP
        if not waiting:
            return None
        if waiting > self.ring.size:
            raise WireError(f"Guest moved avail index from {self.base} to {available}")
        chain = self.chain(self._avail_words[ENTRIES + self.base % self.ring.size])
        self.base = (self.base + 1) % WRAP
        return chain

    def chain(self, head: int) -> Chain:
        """Read the chain that starts at descriptor `head`."""
        readable: list[tuple[int, int]] = []
        writable: list[tuple[int, int]] = []
        index = head
        for _ in range(self.ring.size):
            if index >= self.ring.size:
                raise WireError(f"descriptor {index} in a ring of {self.ring.size}")
            address, length, flags, following = DESC.unpack_from(
                self._desc_ram, self._desc + DESC.size * index
            )
            if flags & DESC_INDIRECT:
                raise WireError("indirect descriptor, though none was offered")
            if flags & DESC_WRITE:
                writable.append((address, length))
            elif writable:
                raise WireError("device-readable descriptor after a writable one")
            else:
                readable.append((address, length))
            if not flags & DESC_NEXT:
                return Chain(head, readable, writable)
            index = following
        raise WireError(f"descriptor chain from {head} has no end")

    def push(self, head: int, written: int) -> None:
        """Return the chain `head`, into which `written` bytes went."""
        element = self._used + 4 + USED_ELEMENT.size * (self.used_index % self.ring.size)
        USED_ELEMENT.pack_into(self._used_ram, element, head, written)
        self.used_index = (self.used_index + 1) % WRAP
        self._used_words[INDEX] = self.used_index

    def wants_call(self) -> bool:
        """Whether the driver asks to be notified of what was pushed."""
        fence()
        return not self._avail_words[FLAGS] & AVAIL_NO_INTERRUPT

    def suppress_kicks(self, suppress: bool) -> None:
        """Tell the driver whether new chains need no notification."""
        self._used_words[FLAGS] = USED_NO_NOTIFY if suppress else 0
        fence()
