"""The object memory-backend-ram: private guest RAM unless share=on.

QEMU: backends/hostmem-ram.c
"""

from __future__ import annotations

from qemu_sim.backends.memory_backend import MemoryBackend


class MemoryBackendRam(MemoryBackend):
    """Anonymous RAM."""

    TYPE = "memory-backend-ram"
