"""Objects that are memory: in use once a machine has taken it as its RAM, or a device.

QEMU: backends/hostmem.c
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from qemu_sim.backends.object import Object, Place
from qemu_sim.errors import QMPError
from qemu_sim.virtio.memory import GuestMemory

_NODES = 128  # include/system/hostmem.h (MAX_NODES)
_HINTS = frozenset({"dump", "merge", "prealloc"})  # nothing here depends on them
_ADDRESSES = 1 << 47  # bytes that a process can map on x86_64


class MemoryBackend(Object):
    """RAM of `size` bytes; `share` lets vhost-user servers and a successor map it."""

    KIND = "memory-backend"
    LINKS: ClassVar = {"prealloc-context": "thread-context"}
    IN_USE = "Cannot delete host memory backend '{}' which is mapped"
    SHARED = False
    """The default of `share`."""
    NO_ROOM = "cannot set up guest memory '{}': Cannot allocate memory"
    """What is said where no process could map that much."""

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Raises QMPError in QEMU's words for options that contradict each other."""
        super().__init__(id, options, place)
        for name in ("size", "prealloc-threads"):
            if options.get(name) == 0:
                raise QMPError(f"property '{name}' of {self.TYPE} doesn't take value '0'")
        if options.get("prealloc") and not options.get("reserve", True):
            raise QMPError("'prealloc=on' and 'reserve=off' are incompatible")
        nodes = self._checked_nodes()
        if options["size"] >= _ADDRESSES:
            raise QMPError(self.NO_ROOM.format(id))
        self.memory = self.make_memory()
        self.taken = False
        try:
            _check_policy(options.get("policy", "default"), nodes)
        except QMPError:
            self.memory.close()
            raise

    def make_memory(self) -> GuestMemory:
        """Return the memory. Raises QMPError in QEMU's words."""
        return GuestMemory(self.options["size"], self.is_shared, self.id)

    def set(self, name: str, value: Any) -> None:
        """Change a hint for the host. Raises QMPError in QEMU's words for what is settled."""
        if name == "size":
            raise QMPError(f"cannot change property {name} of {self.TYPE} ")
        if name in ("share", "reserve"):
            raise QMPError("cannot change property value")
        if name not in _HINTS:
            super().set(name, value)
        self.options = {**self.options, name: value}

    @property
    def is_shared(self) -> bool:
        """Whether others may map it."""
        shared: bool = self.options.get("share", self.SHARED)
        return shared

    @property
    def in_use(self) -> bool:
        """Whether it is a machine's RAM, or a device's."""
        return self.taken

    def close(self) -> None:
        """Give the RAM back."""
        self.memory.close()

    def _checked_nodes(self) -> list[int]:
        nodes: list[int] = self.options.get("host-nodes", [])
        for node in nodes:
            if node >= _NODES:
                raise QMPError(f"Invalid host-nodes value: {node}")
        return nodes


def _check_policy(policy: str, nodes: list[int]) -> None:
    """Raise QMPError as QEMU, or the kernel, would: some of the host's NUMA nodes must exist."""
    if policy == "default" and nodes:
        raise QMPError(
            "host-nodes must be empty for policy default,"
            " or you should explicitly specify a policy other than default"
        )
    if policy != "default" and not nodes:
        raise QMPError(f"host-nodes must be set for policy {policy}")
    if nodes and not any(os.path.exists(f"/sys/devices/system/node/node{n}") for n in nodes):
        raise QMPError("cannot bind memory to host NUMA nodes: Invalid argument")
