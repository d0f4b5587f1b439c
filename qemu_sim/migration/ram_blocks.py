"""The blocks of RAM that a source has: one is ours, the pages of others are left aside.

QEMU: migration/ram.c (parse_ramblocks, ram_block_from_stream)

A real QEMU has firmware, option ROMs, ACPI tables and video memory beside the guest's RAM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.errors import LoadError, MigrationError
from qemu_sim.migration import mapped_ram
from qemu_sim.wire import vmram, vmstream

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection

    from qemu_sim.migration.stream import Stream
    from qemu_sim.virtio.memory import GuestMemory

LAYOUTS = _IGNORES_SHARED, _MAPPED = "x-ignore-shared", "mapped-ram"
"""The capabilities that change how blocks are declared."""


class RamBlocks:
    """Knows which block a page belongs to, from section to section."""

    def __init__(
        self, memory: GuestMemory, skipped: Counter[str], layout: Collection[str] = ()
    ) -> None:
        """Count pages of other blocks in `skipped`; `layout` are those of LAYOUTS that are on."""
        self._memory = memory
        self._ignores_shared = _IGNORES_SHARED in layout
        self._is_mapped = _MAPPED in layout
        self._skipped = skipped
        self._sizes: dict[str, int] = {}
        self._name = ""  # of the last page's

    @property
    def is_ours(self) -> bool:
        """Whether the last page was ours, and so are those that name no other block."""
        return self._name == self._memory.name

    async def declare(self, reader: Stream, total: int) -> None:
        """Read names and sizes, `total` bytes. Raises MigrationError in QEMU's words."""
        blocks = vmram.read_blocks(reader, total, ignore_shared=self._ignores_shared)
        self._sizes = {}
        async for name, size in blocks:
            self._sizes[name] = size
            if self._is_mapped:
                await self._load_mapped(reader, name, size)
        name, size = self._memory.name, self._memory.size
        if name not in self._sizes:
            unknown = next(iter(self._sizes), "")
            raise _unfit(f'Unknown ramblock "{unknown}", cannot accept migration')
        if self._sizes[name] != size:
            raise _unfit(
                f"Size mismatch: {name}: 0x{self._sizes[name]:x} != 0x{size:x}: Invalid argument"
            )

    async def _load_mapped(self, reader: Stream, name: str, size: int) -> None:
        memory = self._memory
        is_ours = (name, size) == (memory.name, memory.size)
        pages = await mapped_ram.load_block(reader, size, memory if is_ours else None)
        if name != memory.name and pages:
            self._skipped[name] += pages

    async def enter(self, reader: vmstream.Reader, flags: int) -> bool:
        """Read whose page it is; one that is not ours is skipped, and False returned."""
        if not flags & vmram.CONTINUE:
            self._name = await vmstream.read_short_text(reader)
        if self.is_ours:
            return True
        if self._name not in self._sizes:
            raise MigrationError(f"Can't find block {self._name}")
        await vmram.skip_page(reader, flags)
        self._skipped[self._name] += 1
        return False

    def place(self, name: str, pages: int) -> bool:
        """Whether `pages` of that block, which come by multifd, are ours; others are counted."""
        if name not in self._sizes:
            raise MigrationError(f"multifd: unknown ram block {name}")
        if name == self._memory.name:
            return True
        self._skipped[name] += pages
        return False


def _unfit(printed: str) -> LoadError:
    text = "error while loading state for instance 0x0 of device 'ram'"
    return LoadError(
        f"{text}: Failed to load vmstate version_id: 4, ret: -22", older=text, printed=printed
    )
