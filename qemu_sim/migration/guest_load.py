"""What the guest is said to do with its RAM, beside what its drivers really do.

A client sets it, and the RAM model of a migration and the measurement of the dirty rate
go by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qemu_sim.virtio.memory import GuestMemory


class GuestLoad:
    """`dirty_rate` is bytes a second; `ram_used` bytes that are not zero, None for by itself.

    With `migration_polls` a migration goes on by each query-migrate instead of by time, and
    the first pass takes as many of them.
    """

    __slots__ = ("dirty_rate", "migration_polls", "ram_used")

    def __init__(
        self, dirty_rate: int = 0, ram_used: int | None = None, migration_polls: int | None = None
    ) -> None:
        self.dirty_rate = dirty_rate
        self.ram_used = ram_used
        self.migration_polls = migration_polls

    def used(self, memory: GuestMemory) -> int:
        """Return the bytes of RAM that are not zero: all, if the guest writes to RAM at all."""
        if self.ram_used is not None:
            return min(self.ram_used, memory.size)
        if self.dirty_rate:
            return memory.size
        return sum(length for _, length in memory.extents())

    def dirtied(self, memory: GuestMemory, milliseconds: int) -> int:
        """Return the bytes that change in that time; what is written twice changes once."""
        if not self.dirty_rate:
            return 0
        return min(self.dirty_rate * milliseconds // 1000, self.used(memory))
