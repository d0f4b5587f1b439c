"""A disk in use: a load of 4 KiB requests whose every byte is checked.

Each write is followed by a read of the same block, and each read is compared with what
the block must hold. Load and requests under way go on in another process after `save`
and `load`: a request is answered once, to whoever runs the guest then.
"""

from __future__ import annotations

import asyncio
import operator
import time
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.guest.block_ledger import BLOCK, BlockLedger
from qemu_sim.io.readable import readable
from qemu_sim.virtio.blk import OK, READ, WRITE, VirtioBlk

if TYPE_CHECKING:
    from qemu_sim.virtio.memory import GuestMemory
    from qemu_sim.virtio.queue import Link, Ring

_MAX_BLOCKS = 4096  # the load stays in the first 16 MiB of the disk


class GuestDisk:
    """The load of one disk. Counts requests and errors; a broken queue ends it."""

    def __init__(self, device: str, memory: GuestMemory, link: Link, driver: VirtioBlk) -> None:
        """Idle, and not running. `device` is written into each block."""
        self._device = device
        self._memory = memory
        self._link = link
        self._driver = driver
        self._ledger: BlockLedger | None = None
        self._running = False
        self._depth = 0  # 0 while the load is off
        self._write = False
        self._work: dict[int, tuple[int, int, int]] = {}  # slot: READ or WRITE, block, sequence
        self._next_block = 0
        self._sequence = 0
        self._last_ns = 0
        self.requests = 0
        self.errors = 0
        self.largest_gap_ns = 0
        self.last_error: str | None = None

    @property
    def rings(self) -> list[Ring]:
        """Where the queues lie."""
        return [queue.ring for queue in self._driver.queues]

    def start_load(self, capacity: int, depth: int, write: bool) -> None:
        """Keep `depth` requests under way on a disk of `capacity` bytes.

        With `write`, blocks are written and read back; the first 16 MiB of the disk are
        lost. Raises QMPError for a depth that queues or disk do not have room for.
        """
        blocks = min(capacity // BLOCK, _MAX_BLOCKS)
        limit = min(self._driver.slots, blocks)
        if not 0 < depth <= limit:
            raise QMPError(f"Parameter 'queue-depth' expects a value between 1 and {limit}")
        if self._ledger is None:
            self._ledger = BlockLedger.create(self._device, self._memory, blocks)
        self._depth, self._write = depth, write
        self.largest_gap_ns, self._last_ns = 0, time.monotonic_ns()
        if self._running:
            self._fill()

    def stop_load(self) -> None:
        """Submit nothing new; what is under way is still checked."""
        self._depth = 0

    def run(self) -> None:
        """Let the guest run: it takes completions and goes on with its load in the next turn."""
        if self._running:
            return
        self._running = True
        loop = asyncio.get_running_loop()
        for queue in range(len(self._driver.queues)):
            loop.add_reader(self._link.call_fileno(queue), self._called, queue)
        loop.call_soon(self._wake)

    def halt(self) -> None:
        """Stop the guest. Requests under way complete in the ring, unread."""
        if not self._running:
            return
        self._running = False
        loop = asyncio.get_running_loop()
        for queue in range(len(self._driver.queues)):
            loop.remove_reader(self._link.call_fileno(queue))

    async def settle(self) -> None:
        """Wait, halted, until the device has finished all that is under way."""
        assert not self._running
        for queue in range(len(self._driver.queues)):
            while self._driver.unanswered(queue) > 0:
                await self._call(queue)

    def report(self) -> dict[str, Any]:
        """Return the counters of x-sim-query-guest."""
        return {
            "requests": self.requests,
            "errors": self.errors,
            "inflight": len(self._work),
            "frames-in": 0,
            "frames-out": 0,
            "largest-gap-us": self.largest_gap_ns // 1000,
        }

    def close(self) -> None:
        """Give the guest's RAM back."""
        self.halt()
        self._driver.close()
        if self._ledger is not None:
            self._memory.free(self._ledger.address)

    def save(self) -> dict[str, Any]:
        """Return the driver's and the load's state, as JSON."""
        ledger = self._ledger
        return {
            "driver": self._driver.save(),
            "ledger": [ledger.address, ledger.blocks] if ledger is not None else None,
            "load": [self._depth, self._write],
            "work": [[slot, *work] for slot, work in self._work.items()],
            "next": [self._next_block, self._sequence, self._last_ns],
            "counters": [self.requests, self.errors, self.largest_gap_ns],
        }

    @classmethod
    def load(cls, device: str, memory: GuestMemory, link: Link, state: dict[str, Any]) -> GuestDisk:
        """Go on where `save` was called. Raises MigrationError on a state that cannot be."""
        try:
            disk = cls(device, memory, link, VirtioBlk.load(memory, state["driver"]))
            disk._depth, disk._write = state["load"]
            disk._work = {slot: (kind, block, seq) for slot, kind, block, seq in state["work"]}
            next_, counters = (map(operator.index, state[key]) for key in ("next", "counters"))
            disk._next_block, disk._sequence, disk._last_ns = next_
            disk.requests, disk.errors, disk.largest_gap_ns = counters
            if state["ledger"] is not None:
                disk._ledger = BlockLedger(device, memory, *state["ledger"])
                memory.claim(disk._ledger.address, disk._ledger.size)
        except (LookupError, TypeError, ValueError) as error:
            raise MigrationError(f"{device}: bad state of its guest driver: {error!r}") from None
        return disk

    async def _call(self, queue: int) -> None:
        await readable(self._link.call_fileno(queue))
        self._link.clear_call(queue)

    def _wake(self) -> None:
        if self._running:
            for queue in range(len(self._driver.queues)):
                self._take(queue)  # what has come while nobody listened
            self._fill()

    def _called(self, queue: int) -> None:
        self._link.clear_call(queue)
        if self._take(queue):
            self._fill()

    def _take(self, queue: int) -> int:
        """Check what the device has finished; returns how many requests that were."""
        taken = 0
        try:
            for slot, status in self._driver.completions(queue):
                if not taken:
                    gap = time.monotonic_ns() - self._last_ns
                    self.largest_gap_ns = max(self.largest_gap_ns, gap)
                taken += 1
                self._finished(slot, status)
        except WireError as error:
            self._fail(str(error))
            self.stop_load()
        if taken:
            self._last_ns = time.monotonic_ns()
        return taken

    def _finished(self, slot: int, status: int) -> None:
        kind, block, sequence = self._work.pop(slot)
        assert self._ledger is not None
        self.requests += 1
        if status != OK:
            self._ledger.forget(block)
            self._fail(f"request of type {kind} for block {block}: status {status}")
        elif kind == WRITE:
            self._ledger.wrote(block, sequence)
            self._submit(slot, READ, block, sequence)
        else:
            wrong = self._ledger.check(block, self._driver.data(slot))
            if wrong is not None:
                self._fail(wrong)

    def _fill(self) -> None:
        """Bring the load to its depth and show the device what is new."""
        for slot in range(self._depth):
            if slot not in self._work:
                self._submit_next(slot)
        for queue in range(len(self._driver.queues)):
            if self._driver.publish(queue):
                self._link.kick(queue)

    def _submit_next(self, slot: int) -> None:
        assert self._ledger is not None
        busy = {block for _, block, _ in self._work.values()}
        while self._next_block in busy:
            self._next_block = (self._next_block + 1) % self._ledger.blocks
        if self._write:
            self._sequence += 1
        self._submit(slot, WRITE if self._write else READ, self._next_block, self._sequence)
        self._next_block = (self._next_block + 1) % self._ledger.blocks

    def _submit(self, slot: int, kind: int, block: int, sequence: int) -> None:
        assert self._ledger is not None
        data = self._ledger.content(block, sequence) if kind == WRITE else b""
        self._driver.submit(slot, kind, block, data)
        self._work[slot] = (kind, block, sequence)

    def _fail(self, reason: str) -> None:
        self.errors += 1
        self.last_error = f"{self._device}: {reason}"
