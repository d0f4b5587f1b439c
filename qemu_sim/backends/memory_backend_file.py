"""The object memory-backend-file: RAM that is a file of the host.

QEMU: backends/hostmem-file.c

With share=on the file is the RAM. Without, what is in the file when the RAM is first used
is copied, and the file stays as it is.
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.memory_backend import MemoryBackend
from qemu_sim.backends.object import Place
from qemu_sim.errors import QMPError
from qemu_sim.virtio.memory import GuestMemory
from qemu_sim.virtio.memory_file import Asked, open_memory_file

_PAGE = 4096
_WHOLE_PAGES_SINCE = (9, 0, 0)  # newer than 7.2


# What a client reads of members that nobody gave.
_UNGIVEN = {
    "align": 0,
    "offset": 0,
    "pmem": False,
    "rom": "off",
    "discard-data": False,
    "readonly": False,
}


class MemoryBackendFile(MemoryBackend):
    """RAM in the file `mem-path`, which is made if it does not exist."""

    TYPE = "memory-backend-file"
    NO_ROOM = "unable to map backing store for guest RAM: Cannot allocate memory"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Open the file. Raises QMPError in QEMU's words."""
        super().__init__(id, options, place)
        self.options = {**_UNGIVEN, **options}

    def make_memory(self) -> GuestMemory:
        """Open and map the file."""
        self._check_rom()
        size, align = self.options["size"], self.options.get("align", 0)
        if self.place.version >= _WHOLE_PAGES_SINCE and size % _PAGE:
            raise QMPError(f"backend '{self.TYPE}' memory size must be multiple of 4 KiB")
        if align % _PAGE:
            raise QMPError(f"alignment {align:#x} must be multiples of page size {_PAGE:#x}")
        if align & (align - 1):
            raise QMPError(f"alignment {align:#x} must be a power of two")
        offset = self.options.get("offset", 0)
        if offset % _PAGE:
            raise QMPError(f"offset {offset:#x} must be multiples of page size {_PAGE:#x}")
        if offset and self.is_shared:
            raise QMPError("'offset' with 'share' = 'on' is not simulated by qemu-sim")
        file = open_memory_file(
            Asked(
                self.options["mem-path"],
                size,
                self.id,
                offset,
                self.is_shared,
                self.options.get("readonly", False),
                self.place.version,
            )
        )
        return GuestMemory(size, self.is_shared, self.id, file)

    def _check_rom(self) -> None:
        rom = self.options.get("rom", "auto")
        read_only = self.options.get("readonly", False)
        if rom == "on" and not read_only:
            raise QMPError("property 'rom' = 'on' is not supported with 'readonly' = 'off'")
        if rom == "off" and read_only and self.is_shared:
            raise QMPError(
                "property 'rom' = 'off' is incompatible with 'readonly' = 'on' and 'share' = 'on'"
            )
