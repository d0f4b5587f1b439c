"""A split virtqueue: its layout, and the driver's side of it.

VIRTIO 1.2, 2.7 "Split Virtqueues"

Neither indirect descriptors nor EVENT_IDX are offered, so notifications are suppressed
by the flags alone.

The other side may look at any time, from another processor. So flags and indices are
stored through `words`, one 16-bit store each: `struct.pack_into` would write zero
first, and a device that polls would see the index jump back.
"""

from __future__ import annotations

import mmap
import struct
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self

from qemu_sim.errors import MigrationError, QMPError, WireError

DESC_NEXT = 1
DESC_WRITE = 2
DESC_INDIRECT = 4
AVAIL_NO_INTERRUPT = 1
USED_NO_NOTIFY = 1
MAX_SIZE = 32768  # VIRTIO 1.2, 2.7
WRAP = 0x10000  # ring indices count modulo 2^16
FLAGS, INDEX, ENTRIES = 0, 1, 2  # where in a ring's words

DESC = struct.Struct("=QIHH")  # address, length, flags, next
USED_ELEMENT = struct.Struct("=II")  # head, bytes written
_barrier = threading.Lock()


class Memory(Protocol):
    """Where guest addresses can be found."""

    def locate(self, address: int, length: int) -> tuple[mmap.mmap, int]:
        """Return the buffer that holds a guest range, and the offset within it."""


class Allocator(Memory, Protocol):
    """Memory that hands out parts of itself."""

    def allocate(self, length: int, align: int = 16) -> int:
        """Return the address of unused bytes."""

    def free(self, address: int) -> None:
        """Give back what `allocate` returned."""


class Link(Protocol):
    """How a driver and the device behind its queues wake each other."""

    def kick(self, queue: int) -> None:
        """Tell the device that a queue has new chains."""

    def call_fileno(self, queue: int) -> int:
        """The descriptor that becomes readable when chains were returned."""

    def clear_call(self, queue: int) -> None:
        """Make `call_fileno` unreadable until the next call."""


class Buffer(NamedTuple):
    """One element of a chain: a guest range, and whether the device may write it."""

    address: int
    length: int
    writable: bool


class Ring(NamedTuple):
    """Where a queue lies: `size` descriptors, and three guest addresses."""

    size: int
    desc: int
    avail: int
    used: int

    @property
    def desc_length(self) -> int:
        """Bytes of the descriptor table."""
        return DESC.size * self.size

    @property
    def avail_length(self) -> int:
        """Bytes of the available ring."""
        return 6 + 2 * self.size

    @property
    def used_length(self) -> int:
        """Bytes of the used ring."""
        return 6 + 8 * self.size

    @property
    def length(self) -> int:
        """Bytes of all three one after the other, as `allocate_ring` places them."""
        used_offset = -(-(self.desc_length + self.avail_length) // 4) * 4
        return used_offset + self.used_length


def words(memory: Memory, address: int, length: int) -> memoryview:
    """Return a guest range as 16-bit numbers; item 0 of a ring is its flags, 1 its index."""
    ram, offset = memory.locate(address, length)
    return memoryview(ram)[offset : offset + length].cast("H")


def fence() -> None:
    """Order what was stored before against what is loaded after.

    Taking a lock is an atomic read-modify-write, which is a full barrier on x86.
    """
    with _barrier:
        pass


def allocate_ring(memory: Allocator, size: int) -> Ring:
    """Lay out an empty ring of `size` descriptors (a power of two) in guest RAM.

    Its block of guest RAM starts at the descriptor table and is `ring.length` bytes.
    """
    if not 0 < size <= MAX_SIZE or size & (size - 1):
        raise QMPError(f"Invalid queue size: {size}")
    shape = Ring(size, 0, 0, 0)
    start = memory.allocate(shape.length, 4096)
    ram, offset = memory.locate(start, shape.length)
    ram[offset : offset + shape.length] = bytes(shape.length)
    used = start + shape.length - shape.used_length
    return Ring(size, start, start + shape.desc_length, used)


def used_index(memory: Memory, ring: Ring) -> int:
    """Return how many chains the device ever returned, modulo 2^16."""
    index: int = words(memory, ring.used, ring.used_length)[INDEX]
    return index


class DriverQueue:
    """The driver's side: gives chains of buffers to the device and takes them back."""

    def __init__(self, memory: Memory, ring: Ring) -> None:
        """Use the empty `ring` in `memory`."""
        self.ring = ring
        self._ram, self._desc = memory.locate(ring.desc, ring.desc_length)
        _, self._used = memory.locate(ring.used, ring.used_length)
        self._avail_words = words(memory, ring.avail, ring.avail_length)
        self._used_words = words(memory, ring.used, ring.used_length)
        self._free = list(range(ring.size))
        self._chains: dict[int, list[int]] = {}
        self._added = 0  # chains ever added, modulo 2^16
        self._taken = 0  # chains ever taken back, modulo 2^16

    @property
    def outstanding(self) -> int:
        """Chains that were added and not yet taken back."""
        return len(self._chains)

    @property
    def answered(self) -> int:
        """Chains the device has returned that were not yet taken back."""
        return (self.used_index - self._taken) % WRAP

    @property
    def used_index(self) -> int:
        """Chains the device ever returned, modulo 2^16."""
        index: int = self._used_words[INDEX]
        return index

    def add(self, buffers: Sequence[Buffer]) -> int | None:
        """Chain `buffers`, device-readable ones first; visible after `publish`.

        Returns the chain's head, None while the ring has too few free descriptors.
        """
        if len(buffers) > len(self._free):
            return None
        chain = [self._free.pop() for _ in buffers]
        for position, buffer in enumerate(buffers):
            last = position + 1 == len(chain)
            flags = (DESC_WRITE if buffer.writable else 0) | (0 if last else DESC_NEXT)
            DESC.pack_into(
                self._ram,
                self._desc + DESC.size * chain[position],
                buffer.address,
                buffer.length,
                flags,
                0 if last else chain[position + 1],
            )
        head = chain[0]
        self._chains[head] = chain
        self._avail_words[ENTRIES + self._added % self.ring.size] = head
        self._added = (self._added + 1) % WRAP
        return head

    def publish(self) -> bool:
        """Show the device all that was added. Returns whether it wants to be notified."""
        self._avail_words[INDEX] = self._added
        fence()
        return not self._used_words[FLAGS] & USED_NO_NOTIFY

    def suppress_calls(self, suppress: bool) -> None:
        """Tell the device whether completions need no notification."""
        self._avail_words[FLAGS] = AVAIL_NO_INTERRUPT if suppress else 0
        fence()

    def take(self) -> tuple[int, int] | None:
        """Take back the next chain the device is done with: its head, and bytes written.

        Raises WireError when the device returned what it does not have.
        """
        if self.used_index == self._taken:
            return None
        slot = self._taken % self.ring.size
        element = self._used + 4 + USED_ELEMENT.size * slot
        head, written = USED_ELEMENT.unpack_from(self._ram, element)
        chain = self._chains.pop(head, None)
        if chain is None:
            raise WireError(f"the device returned descriptor {head}, which it does not have")
        self._free.extend(reversed(chain))
        self._taken = (self._taken + 1) % WRAP
        return head, written

    def save(self) -> dict[str, Any]:
        """Return the driver's own state; the rings themselves are in guest RAM."""
        return {
            "ring": list(self.ring),
            "free": self._free,
            "chains": list(self._chains.values()),
            "added": self._added,
            "taken": self._taken,
        }

    @classmethod
    def load(cls, memory: Memory, state: dict[str, Any]) -> Self:
        """Go on where `save` was called. Raises MigrationError on a state that cannot be."""
        try:
            queue = cls(memory, Ring(*state["ring"]))
            queue._free = list(state["free"])
            queue._chains = {chain[0]: list(chain) for chain in state["chains"]}
            queue._added = state["added"] % WRAP
            queue._taken = state["taken"] % WRAP
        except (LookupError, TypeError) as error:
            raise MigrationError(f"bad state of a virtqueue: {error!r}") from None
        indices = queue._free + [index for chain in queue._chains.values() for index in chain]
        if sorted(indices) != list(range(queue.ring.size)):
            raise MigrationError("bad state of a virtqueue: descriptors are missing or double")
        return queue
