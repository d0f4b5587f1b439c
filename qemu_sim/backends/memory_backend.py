"""Objects that are guest RAM, in use once a machine has taken theirs.

QEMU: backends/hostmem.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.object import Object
from qemu_sim.errors import QMPError
from qemu_sim.virtio.memory import GuestMemory


class MemoryBackend(Object):
    """RAM of `size` bytes; `share` lets vhost-user servers and a successor map it."""

    SHARED = False
    """The default of `share`."""

    def __init__(self, id: str, options: dict[str, Any]) -> None:
        super().__init__(id, options)
        size = options["size"]
        if not size:
            raise QMPError("can't create backend with size 0")
        self.memory = GuestMemory(size, options.get("share", self.SHARED), id)
        self.taken = False

    @property
    def in_use(self) -> bool:
        """Whether it is a machine's RAM."""
        return self.taken

    def close(self) -> None:
        """Give the RAM back."""
        self.memory.close()
