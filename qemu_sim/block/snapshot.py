"""An internal snapshot of an image, as every format that has them tells of it.

QEMU: block/snapshot.c, qapi/block-core.json (SnapshotInfo)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

SECOND = 1_000_000_000
MAX_NAME = 255  # bytes; QEMUSnapshotInfo


class Snapshot(NamedTuple):
    """One snapshot; times are in nanoseconds, sizes in bytes."""

    name: str
    date: int
    """Since the epoch, by the host's clock."""
    vm_clock: int = 0
    """How long the guest had run."""
    vm_state_size: int = 0
    id: str = ""
    """What the image calls it; it gets one when it is made."""
    icount: int | None = None

    def to_qapi(self) -> dict[str, Any]:
        """Return the SnapshotInfo."""
        found = {
            "id": self.id,
            "name": self.name,
            "vm-state-size": self.vm_state_size,
            "date-sec": self.date // SECOND,
            "date-nsec": self.date % SECOND,
            "vm-clock-sec": self.vm_clock // SECOND,
            "vm-clock-nsec": self.vm_clock % SECOND,
        }
        return found if self.icount is None else {**found, "icount": self.icount}


class SnapshotStore(Protocol):
    """An image that can hold snapshots of itself, and the machine's state beside its data."""

    def listed(self) -> Sequence[Snapshot]:
        """Return all of them, oldest first."""

    def create(self, snapshot: Snapshot) -> None:
        """Keep the data as it is, and what was written as VM state. Raises QMPError."""

    def go_to(self, snapshot: Snapshot) -> None:
        """Have the data, and the VM state, as they were then. Raises QMPError."""

    def delete(self, snapshot: Snapshot) -> None:
        """Forget one. Raises QMPError."""

    def write_vm_state(self, offset: int, data: bytes) -> None:
        """Store a part of the machine's state, for the next `create`. Raises QMPError."""

    def read_vm_state(self, offset: int, length: int) -> bytes:
        """Return a part of the state that came with `go_to`."""


def find(store: SnapshotStore, name: str) -> Snapshot | None:
    """Return the first snapshot of that name."""
    return next((each for each in store.listed() if each.name == name), None)
