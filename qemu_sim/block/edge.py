"""The uses of nodes: each an edge of the graph, from who uses to what is used.

QEMU: block.c (BdrvChild, bdrv_refresh_perms, bdrv_parent_perms_conflict)

A change of the graph is tried: it stays if nobody needs what another one of the same node
does not share, and is taken back otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from qemu_sim.block.permissions import ALL, FREE, UNCHANGED, WRITE, Claim
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.block.image_lock import ImageLock
    from qemu_sim.block.node import Node


class Parent(Protocol):
    """Who uses a node: another node, a block backend or a job."""

    @property
    def spoken(self) -> str:
        """What a message calls it."""

    def blocker(self, role: str) -> str | None:
        """Return why nothing else may be done to what it uses in that role, if so."""


class Edge:
    """One use of a node. It can be moved to another node unless it `stays`."""

    __slots__ = ("child", "claim", "name", "parent", "stays")

    def __init__(
        self, parent: Parent, name: str, child: Node, claim: Claim = FREE, *, stays: bool = False
    ) -> None:
        self.parent = parent
        self.name = name
        self.child = child
        self.claim = claim
        self.stays = stays

    def ask(self, claim: Claim) -> None:
        """Ask for something else. Raises QMPError in QEMU's words."""
        with trial(self.child):
            self.claim = claim

    def check(self, other: Edge) -> None:
        """Raise QMPError in QEMU's words if `other` needs what this one does not share."""
        refused = other.claim.needs & ~self.claim.shares
        if refused:
            node = self.child.name
            raise QMPError(
                f"Permission conflict on node '{node}': permissions '{refused.words}' are both "
                f"required by {other.parent.spoken} (uses node '{node}' as '{other.name}' child) "
                f"and unshared by {self.parent.spoken} (uses node '{node}' as '{self.name}' child)."
            )


@contextmanager
def trial(*nodes: Node, reopened: Node | None = None) -> Iterator[None]:
    """Keep what is done to the edges of `nodes` if permissions allow it, or take it back.

    Raises QMPError in QEMU's words. `reopened` is a node that has just become read-only.
    """
    before = [(node, list(node.parents), dict(node.links)) for node in nodes]
    edges = {edge for _, parents, links in before for edge in (*parents, *links.values())}
    states = [(edge, edge.child, edge.claim) for edge in edges]
    try:
        yield
        _refresh(nodes, reopened)
    except QMPError:
        for node, parents, links in before:
            node.parents, node.links = parents, links
        for edge, child, claim in states:
            edge.child, edge.claim = child, claim
        raise


def below(node: Node) -> list[Node]:
    """Return a node and all that it stands on, each once."""
    found = [node]
    for each in found:
        found.extend(child for child in each.children.values() if child not in found)
    return found


def asked_of(node: Node) -> Claim:
    """Return what all users of a node need and share together."""
    needs, shares = FREE
    for edge in node.parents:
        needs |= edge.claim.needs
        shares &= edge.claim.shares
    return Claim(needs, shares)


def _refresh(nodes: tuple[Node, ...], reopened: Node | None) -> None:
    """Have the nodes, and all below, ask for what is asked of them. Raises QMPError."""
    before: list[tuple[Edge, Claim]] = []
    reserved: list[tuple[ImageLock, Claim]] = []
    try:
        for node in _downwards(nodes):
            _check(node, reopened)
            asked = asked_of(node)
            if node.lock is not None and node.active:
                reserved.append((node.lock, asked))
                node.lock.reserve(asked)
            for edge in node.links.values():
                before.append((edge, edge.claim))
                edge.claim = node.claim_on(edge.name, asked)
                if edge.child.options.get("force-share", False):
                    edge.claim = Claim(edge.claim.needs, ALL)
    except QMPError:
        for edge, claim in reversed(before):
            edge.claim = claim
        for lock, _ in reserved:
            lock.settle(lock.held)
        raise
    for lock, asked in reserved:
        lock.settle(asked)


def _check(node: Node, reopened: Node | None) -> None:
    for one in node.parents:
        for other in node.parents:
            if one is not other:
                one.check(other)
    if asked_of(node).needs & (WRITE | UNCHANGED) and not node.writable:
        if node is reopened:
            raise QMPError(f"Read-only block node '{node.name}' cannot support read-write users")
        raise QMPError("Block node is read-only")


def _downwards(nodes: tuple[Node, ...]) -> list[Node]:
    """Return the nodes and all below, each behind everything that stands on it."""
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in found:
            for child in node.children.values():
                visit(child)
            found[node] = None

    for node in nodes:
        visit(node)
    return list(reversed(found))
