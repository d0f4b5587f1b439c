"""What the guest does with its RAM, beside what its drivers do.

A client says it, or a program that the guest runs does it; the RAM model of a migration and
the measurement of the dirty rate go by both together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from qemu_sim.virtio.memory import GuestMemory


class Writing(NamedTuple):
    """What a program does that writes to its pages over and over."""

    rate: int
    """Bytes a second."""
    span: int
    """Bytes that these pages have."""


class GuestLoad:
    """`dirty_rate` is bytes a second; `ram_used` bytes that are not zero, None for by itself.

    Both are what a client says; `program` is what a program does, None without one.

    With `migration_polls` a migration goes on by each query-migrate instead of by time, and
    the first pass takes as many of them.
    """

    __slots__ = ("dirty_rate", "migration_polls", "program", "ram_used")

    def __init__(
        self, dirty_rate: int = 0, ram_used: int | None = None, migration_polls: int | None = None
    ) -> None:
        self.dirty_rate = dirty_rate
        self.ram_used = ram_used
        self.migration_polls = migration_polls
        self.program: Writing | None = None

    @property
    def rate(self) -> int:
        """Bytes a second that are written while the guest runs."""
        return self.dirty_rate + (self.program.rate if self.program else 0)

    def working_set(self, memory: GuestMemory) -> int:
        """Return the bytes that are written to at all."""
        if self.dirty_rate:
            return self.used(memory)
        return self.program.span if self.program else 0

    def used(self, memory: GuestMemory) -> int:
        """Return the bytes of RAM that are not zero: all, if the guest writes to RAM at all."""
        if self.ram_used is not None:
            return min(self.ram_used, memory.size)
        if self.dirty_rate:
            return memory.size
        return sum(length for _, length in memory.extents())

    def dirtied(self, memory: GuestMemory, milliseconds: int) -> int:
        """Return the bytes that change in that time; what is written twice changes once."""
        if not self.rate:
            return 0
        return min(self.rate * milliseconds // 1000, self.working_set(memory))
