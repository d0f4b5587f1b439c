"""The simulated guest's virtio-net driver: frames in fixed buffers, two queues a pair.

VIRTIO 1.2, 5.1 "Network Device"

Queue 2n receives, queue 2n+1 sends, for the pair n. No offload and no merged buffers are
negotiated, so a frame is one buffer of a 12-byte header and up to 2036 bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError
from qemu_sim.virtio.queue import Buffer, DriverQueue, allocate_ring

if TYPE_CHECKING:
    from qemu_sim.virtio.memory import GuestMemory
    from qemu_sim.virtio.queue import Ring

_HEADER = bytes(12)  # struct virtio_net_hdr_v1 of a complete frame
_BUFFER = 2048
_PAGE = 4096


class NetQueue:
    """One queue and a buffer for each of its descriptors."""

    def __init__(self, memory: GuestMemory, queue: DriverQueue, area: int) -> None:
        """Use buffers from the guest address `area` on; `fill` or `send` adds chains."""
        self.queue = queue
        self.area = area
        self._memory = memory
        self._free = list(range(queue.ring.size))
        self._used: dict[int, int] = {}  # chain's head to buffer

    @property
    def size(self) -> int:
        """Bytes of all buffers."""
        return self.queue.ring.size * _BUFFER

    def fill(self) -> bool:
        """Give every free buffer to the device, to receive. Returns whether it wants a kick."""
        while self._free:
            self._add(self._free.pop(), _BUFFER, writable=True)
        return self.queue.publish()

    def received(self) -> bytes | None:
        """Take the next received frame, None while there is none. Raises WireError."""
        taken = self.queue.take()
        if taken is None:
            return None
        head, written = taken
        buffer = self._used.pop(head)
        self._free.append(buffer)
        packet = self._memory.read(self._address(buffer), min(written, _BUFFER))
        return packet[len(_HEADER) :]

    def send(self, frame: bytes) -> bool:
        """Give a frame to the device; False when it is too long or all buffers are in use."""
        while (taken := self.queue.take()) is not None:
            self._free.append(self._used.pop(taken[0]))
        packet = _HEADER + frame
        if not self._free or len(packet) > _BUFFER:
            return False
        buffer = self._free.pop()
        self._memory.write(self._address(buffer), packet)
        self._add(buffer, len(packet), writable=False)
        return True

    def save(self) -> dict[str, Any]:
        """Return what is not in guest RAM already, as JSON."""
        used = [list(item) for item in self._used.items()]
        return {"queue": self.queue.save(), "area": self.area, "free": self._free, "used": used}

    @classmethod
    def load(cls, memory: GuestMemory, state: dict[str, Any]) -> NetQueue:
        """Go on where `save` was called. Raises MigrationError on a state that cannot be."""
        try:
            loaded = cls(memory, DriverQueue.load(memory, state["queue"]), int(state["area"]))
            loaded._free = list(state["free"])
            loaded._used = {int(head): int(buffer) for head, buffer in state["used"]}
        except (LookupError, TypeError, ValueError) as error:
            raise MigrationError(f"bad state of a virtio-net queue: {error!r}") from None
        memory.claim(loaded.area, loaded.size)
        memory.claim(loaded.queue.ring.desc, loaded.queue.ring.length)
        return loaded

    def close(self) -> None:
        """Give the guest's RAM back."""
        self._memory.free(self.area)
        self._memory.free(self.queue.ring.desc)

    def _add(self, buffer: int, length: int, *, writable: bool) -> None:
        head = self.queue.add((Buffer(self._address(buffer), length, writable),))
        assert head is not None, "more buffers than descriptors"
        self._used[head] = buffer

    def _address(self, buffer: int) -> int:
        return self.area + buffer * _BUFFER


class VirtioNet:
    """The driver of one NIC, over all of its queues."""

    def __init__(self, queues: list[NetQueue]) -> None:
        """Use `queues`: receive and send of each pair in turn."""
        self.queues = queues

    @classmethod
    def probe(cls, memory: GuestMemory, pairs: int, queue_size: int) -> VirtioNet:
        """Set a fresh driver up in guest RAM. Raises QMPError when RAM is full."""
        queues = []
        for index in range(2 * pairs):
            queue = DriverQueue(memory, allocate_ring(memory, queue_size))
            queues.append(NetQueue(memory, queue, memory.allocate(queue_size * _BUFFER, _PAGE)))
            # What was sent is only of interest when its buffer is needed again.
            queue.suppress_calls(index % 2 == 1)
        return cls(queues)

    @property
    def rings(self) -> list[Ring]:
        """Where the queues lie."""
        return [part.queue.ring for part in self.queues]

    @property
    def pairs(self) -> int:
        """How many queue pairs there are."""
        return len(self.queues) // 2

    def receive(self, pair: int, receive: Callable[[int, bytes], None]) -> bool:
        """Pass what has come to `receive`, and free the buffers.

        Returns whether the device wants a kick. Raises WireError when it broke the queue.
        """
        queue = self.queues[2 * pair]
        while (frame := queue.received()) is not None:
            receive(pair, frame)
        return queue.fill()

    def send(self, pair: int, frame: bytes) -> bool:
        """Give a frame to the device; False when it was dropped."""
        return self.queues[2 * pair + 1].send(frame)

    def save(self) -> list[dict[str, Any]]:
        """Return what is not in guest RAM already, as JSON."""
        return [queue.save() for queue in self.queues]

    @classmethod
    def load(cls, memory: GuestMemory, state: list[dict[str, Any]]) -> VirtioNet:
        """Go on where `save` was called. Raises MigrationError on a state that cannot be."""
        return cls([NetQueue.load(memory, queue) for queue in state])

    def close(self) -> None:
        """Give the guest's RAM back."""
        for queue in self.queues:
            queue.close()
