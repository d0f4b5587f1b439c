"""Several images that are snapshotted together, as they make up one machine.

QEMU: block/snapshot.c (bdrv_all_can_snapshot and its like)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from qemu_sim.block import snapshot as snapshots
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.block.drive import Drives
    from qemu_sim.block.graph import Graph
    from qemu_sim.block.node import Node
    from qemu_sim.block.snapshot import Snapshot, SnapshotStore


class Member(NamedTuple):
    """One image, and the name of the drive that it is in, "" for none.

    One that is only below others is no `part` of the machine.
    """

    node: Node
    drive: str = ""
    part: bool = True

    @property
    def name(self) -> str:
        """What an error calls it."""
        return self.drive or self.node.name

    @property
    def store(self) -> SnapshotStore:
        """Where its snapshots are; it can have some."""
        store = self.node.snapshot_store
        assert store is not None
        return store


class SnapshotSet:
    """The images, in QEMU's order. Errors are QMPErrors in QEMU's words."""

    def __init__(self, known: Sequence[Member]) -> None:
        self.known = known
        self.members = [each for each in known if each.part]

    @classmethod
    def of_all(cls, graph: Graph, drives: Drives) -> Self:
        """Return what may be written to, that of drives and exports first."""
        found: dict[str, Member] = {}
        for drive in drives.listed():
            if drive.node is not None:
                found.setdefault(drive.node.name, Member(drive.node, drive.name))
        exported = [node for node in graph.nodes.values() if _has_backend(node)]
        owned = [node for node in graph.nodes.values() if node.owned]
        for node in (*exported, *owned):
            part = _has_backend(node) or not node.in_use
            found.setdefault(node.name, Member(node, part=part))
        return cls([each for each in found.values() if not each.node.read_only])

    @classmethod
    def of_nodes(cls, graph: Graph, drives: Drives, names: Sequence[str]) -> Self:
        """Return those that a client names."""
        if not names:
            raise QMPError("At least one device is required for snapshot")
        for name in names:
            if name not in graph.nodes:
                raise QMPError(f"No block device node '{name}'")
        used = {drive.node.name: drive.name for drive in drives.listed() if drive.node is not None}
        return cls([Member(graph.nodes[name], used.get(name, "")) for name in names])

    def check(self) -> None:
        """Make sure that each can have a snapshot now."""
        for member in self.members:
            if not member.node.can_snapshot:
                raise QMPError(f"Device '{member.name}' is writable but does not support snapshots")

    def have(self, name: str) -> bool:
        """Whether each has a snapshot of that name."""
        return all(
            member.node.can_snapshot and snapshots.find(member.store, name) is not None
            for member in self.members
        )

    def vm_state_member(self, name: str | None) -> Member:
        """Return the one that holds the state of the machine: the named one, or the first."""
        for member in self.members:
            if name is None and member.node.can_snapshot:
                return member
            if name == member.node.name:
                return member
        if name is None:
            raise QMPError("no block device can store vmstate for snapshot")
        raise QMPError(f"vmstate block device '{name}' does not exist")

    def create(self, snapshot: Snapshot, holder: Member) -> None:
        """Take one of each; what `holder` was given as VM state is part of its."""
        for member in self.members:
            size = snapshot.vm_state_size if member.node is holder.node else 0
            try:
                member.store.create(snapshot._replace(vm_state_size=size))
            except QMPError:
                self.delete(snapshot.name)
                text = f"Could not create snapshot '{snapshot.name}' on '{member.name}'"
                raise QMPError(text) from None

    def go_to(self, name: str) -> None:
        """Have each as it was."""
        for member, found in self._found(name):
            try:
                member.store.go_to(found)
            except QMPError as error:
                text = f"Could not load snapshot '{name}' on '{member.name}': {error}"
                raise QMPError(text) from None

    def delete(self, name: str) -> None:
        """Forget it wherever it is."""
        for member, found in self._found(name):
            try:
                member.store.delete(found)
            except QMPError as error:
                text = f"Could not delete snapshot '{name}' on '{member.name}': {error}"
                raise QMPError(text) from None

    def _found(self, name: str) -> Iterator[tuple[Member, Snapshot]]:
        for member in self.members:
            found = snapshots.find(member.store, name)
            if found is not None:
                yield member, found


def _has_backend(node: Node) -> bool:
    """Whether a drive or an export uses it."""
    return any(edge.name == "root" for edge in node.parents)
