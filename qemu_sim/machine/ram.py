"""Guest RAM of one machine, from where its options and its NUMA nodes say.

QEMU: hw/core/machine.c (machine_run_board_init), system/numa.c (numa_init_memory_layout)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qemu_sim.backends.memory_backend import MemoryBackend
from qemu_sim.errors import QMPError
from qemu_sim.virtio.memory import GuestMemory

if TYPE_CHECKING:
    from qemu_sim.backends.object import Object
    from qemu_sim.machine.options import MachineOptions


class Ram:
    """Made when it is first looked at. `objects` are the machine's, by ID."""

    def __init__(self, options: MachineOptions, objects: Mapping[str, Object]) -> None:
        self._options = options
        self._objects = objects
        self._memory: GuestMemory | None = None
        self.backends: list[MemoryBackend] = []
        """Those of the NUMA nodes."""

    @property
    def memory(self) -> GuestMemory:
        """The memory backend's if the machine names one, else private RAM. Raises QMPError."""
        if self._memory is None:
            self._memory = self._make()
        return self._memory

    def close(self) -> None:
        """Free it."""
        if self._memory is not None:
            self._memory.close()

    def _join(self, backends: list[MemoryBackend]) -> GuestMemory:
        """Return RAM that stands for several backends, into which nobody can look."""
        if len(backends) > 1 and any(backend.memory.shared for backend in backends):
            raise QMPError("RAM in several shared memory backends is not simulated by qemu-sim")
        for backend in backends:
            if backend.taken:
                raise QMPError(f"memory backend '{backend.id}' is used multiple times")
            backend.taken = True
        if len(backends) == 1:
            return backends[0].memory
        return GuestMemory(self._options.memory_size, shared=False)

    def _make(self) -> GuestMemory:
        options = self._options
        if self.backends:
            return self._join(self.backends)
        if options.memory_backend is None:
            return GuestMemory(options.memory_size, shared=False)
        found = self._objects.get(options.memory_backend)
        if not isinstance(found, MemoryBackend):
            raise QMPError(f"Memory backend '{options.memory_backend}' not found")
        if found.memory.size != options.memory_size:
            raise QMPError("Machine memory size does not match the size of the memory backend")
        found.taken = True
        return found.memory
