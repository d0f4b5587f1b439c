"""The simulated guest's virtio-blk driver: requests in slots, spread over the queues.

VIRTIO 1.2, 5.2 "Block Device"

Everything a request needs lies in guest RAM, one slot for each that may be under way:

    0 request header (type, reserved, sector) | 16 status | 32 data (4 KiB)
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError
from qemu_sim.virtio.queue import Buffer, DriverQueue, allocate_ring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qemu_sim.virtio.memory import GuestMemory

BLOCK = 4096  # bytes of each request
SECTOR = 512
READ = 0  # VIRTIO_BLK_T_IN
WRITE = 1  # VIRTIO_BLK_T_OUT
OK = 0  # VIRTIO_BLK_S_OK
_CHAIN = 3  # descriptors of one request: header, data, status
_HEADER = struct.Struct("=IIQ")
_STATUS_OFFSET = 16
_DATA_OFFSET = 32
_SLOT = _DATA_OFFSET + BLOCK
_UNANSWERED = 0xFF
_MAX_SLOTS = 256


class VirtioBlk:
    """The driver of one disk, over queues that lie in `memory`."""

    def __init__(
        self, memory: GuestMemory, queues: list[DriverQueue], area: int, slots: int
    ) -> None:
        """Use `queues`, and `slots` slots from the guest address `area` on."""
        self.queues = queues
        self.slots = slots
        self._memory = memory
        self._area = area
        self._heads: list[dict[int, int]] = [{} for _ in queues]  # chain's head to slot

    @classmethod
    def probe(cls, memory: GuestMemory, queues: int, queue_size: int) -> VirtioBlk:
        """Set a fresh driver up in guest RAM. Raises QMPError when RAM is full."""
        slots = min(queues * (queue_size // _CHAIN), _MAX_SLOTS)
        rings = [DriverQueue(memory, allocate_ring(memory, queue_size)) for _ in range(queues)]
        return cls(memory, rings, memory.allocate(slots * _SLOT, BLOCK), slots)

    def submit(self, slot: int, kind: int, block: int, data: bytes = b"") -> None:
        """Add a READ or WRITE of one block of the disk; the device sees it after `publish`."""
        address = self._address(slot)
        writes = kind == WRITE
        self._memory.write(address, _HEADER.pack(kind, 0, block * (BLOCK // SECTOR)))
        self._memory.write(address + _STATUS_OFFSET, bytes([_UNANSWERED]))
        if writes:
            self._memory.write(address + _DATA_OFFSET, data)
        queue = slot % len(self.queues)
        head = self.queues[queue].add(
            (
                Buffer(address, _HEADER.size, writable=False),
                Buffer(address + _DATA_OFFSET, BLOCK, writable=not writes),
                Buffer(address + _STATUS_OFFSET, 1, writable=True),
            )
        )
        assert head is not None, "more slots than the queues hold"
        self._heads[queue][head] = slot

    def publish(self, queue: int) -> bool:
        """Show the device what was submitted. Returns whether it wants a kick."""
        return self.queues[queue].publish()

    def completions(self, queue: int) -> Iterator[tuple[int, int]]:
        """Yield slot and status of each request the device has finished.

        Raises WireError when the device broke the queue.
        """
        ring, heads = self.queues[queue], self._heads[queue]
        while (taken := ring.take()) is not None:
            slot = heads.pop(taken[0])
            yield slot, self._memory.read(self._address(slot) + _STATUS_OFFSET, 1)[0]

    def data(self, slot: int) -> bytes:
        """Return the block that a finished READ brought."""
        return self._memory.read(self._address(slot) + _DATA_OFFSET, BLOCK)

    def unanswered(self, queue: int) -> int:
        """Return how many requests are with the device."""
        return self.queues[queue].outstanding - self.queues[queue].answered

    def close(self) -> None:
        """Give the guest's RAM back."""
        self._memory.free(self._area)
        for queue in self.queues:
            self._memory.free(queue.ring.desc)

    def save(self) -> dict[str, Any]:
        """Return what is not in guest RAM already, as JSON."""
        return {
            "area": self._area,
            "slots": self.slots,
            "queues": [queue.save() for queue in self.queues],
            "heads": [[list(item) for item in heads.items()] for heads in self._heads],
        }

    @classmethod
    def load(cls, memory: GuestMemory, state: dict[str, Any]) -> VirtioBlk:
        """Go on where `save` was called. Raises MigrationError on a state that cannot be."""
        try:
            queues = [DriverQueue.load(memory, queue) for queue in state["queues"]]
            driver = cls(memory, queues, int(state["area"]), int(state["slots"]))
            driver._heads = [dict(map(tuple, items)) for items in state["heads"]]
        except (LookupError, TypeError, ValueError) as error:
            raise MigrationError(f"bad state of a virtio-blk driver: {error!r}") from None
        memory.claim(driver._area, driver.slots * _SLOT)
        for queue in queues:
            memory.claim(queue.ring.desc, queue.ring.length)
        return driver

    def _address(self, slot: int) -> int:
        return self._area + slot * _SLOT
