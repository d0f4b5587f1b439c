"""The object memory-backend-memfd: guest RAM that others map, unless share=off.

QEMU: backends/hostmem-memfd.c, util/memfd.c
"""

from __future__ import annotations

import errno
import os

from qemu_sim.backends.memory_backend import MemoryBackend
from qemu_sim.errors import QMPError
from qemu_sim.virtio.memory import GuestMemory
from qemu_sim.virtio.memory_file import Asked, check_fits

_PAGE = 4096


class MemoryBackendMemfd(MemoryBackend):
    """RAM in a memfd. There are no huge pages to have it in."""

    TYPE = "memory-backend-memfd"
    SHARED = True
    NO_ROOM = "unable to map backing store for guest RAM: Cannot allocate memory"

    def make_memory(self) -> GuestMemory:
        """Raises QMPError in QEMU's words for a size of no whole pages, and for huge pages."""
        size = self.options["size"]
        if self.options.get("hugetlb"):
            raise QMPError(f"failed to resize memfd to {size}: {os.strerror(errno.EINVAL)}")
        pages = -(-size // _PAGE) * _PAGE
        check_fits(size, Asked("", pages, self.id, version=self.place.version))
        return super().make_memory()
