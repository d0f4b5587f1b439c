"""The object memory-backend-memfd: guest RAM that others map, unless share=off.

QEMU: backends/hostmem-memfd.c
"""

from __future__ import annotations

from qemu_sim.backends.memory_backend import MemoryBackend


class MemoryBackendMemfd(MemoryBackend):
    """RAM in a memfd."""

    TYPE = "memory-backend-memfd"
    SHARED = True
