"""The object memory-backend-shm: guest RAM in POSIX shared memory, which others map.

QEMU: backends/hostmem-shm.c
"""

from __future__ import annotations

from qemu_sim.backends.memory_backend import MemoryBackend
from qemu_sim.errors import QMPError
from qemu_sim.virtio.memory import GuestMemory


class MemoryBackendShm(MemoryBackend):
    """RAM that has no name by the time that anybody sees it: a memfd does as well."""

    TYPE = "memory-backend-shm"
    SHARED = True

    def make_memory(self) -> GuestMemory:
        """Raises QMPError in QEMU's words if it were private."""
        if not self.is_shared:
            raise QMPError("can't create shm backend with `share=off`")
        return super().make_memory()
