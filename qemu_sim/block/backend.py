"""What stands between a node and the device, export or command that uses it.

QEMU: block/block-backend.c

While its node is inactive, a guest device's backend asks for nothing; it does when the image
is this process's again. Where that comes before the guest, as an export of a machine that
waits for a migration has it, the others may write until the guest comes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from qemu_sim.block.permissions import FREE, UNCHANGED, WRITE, Claim
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.block.edge import Edge
    from qemu_sim.block.graph import Graph
    from qemu_sim.block.node import Node

_log = logging.getLogger(__name__)


class Backend:
    """One of them. `claim` is what it asks of the node that is inserted, now or later."""

    def __init__(self, graph: Graph, claim: Claim = FREE, name: str = "") -> None:
        self._graph = graph
        self.name = name
        self.device: str | None = None
        """The ID or QOM path of its guest device, as QEMU calls it."""
        self.claim = claim
        self.may_rest = False
        """Whether it lets go of its image although it writes, and is no guest device's."""
        self.edge: Edge | None = None
        self._rests = False
        self._waits = False
        """Whether it shares everything until the guest comes."""
        graph.backends.append(self)

    @property
    def node(self) -> Node | None:
        """The node that is inserted."""
        return None if self.edge is None else self.edge.child

    @property
    def shown(self) -> Node | None:
        """The node below the filters that nobody named."""
        node = self.node
        while node is not None and node.implicit:
            node = node.child
        return node

    @property
    def label(self) -> str:
        """Its name, or else its device's; "" where it has neither."""
        return self.name or self.device or ""

    @property
    def spoken(self) -> str:
        """What a message calls it."""
        return f"block device '{self.label}'" if self.label else "an unnamed block device"

    def blocker(self, role: str) -> str | None:  # noqa: ARG002  (the same for all)
        """It keeps nobody from working on the node."""
        return None

    def insert(self, node: Node) -> None:
        """Use `node`. Raises QMPError in QEMU's words."""
        self._rests = self.device is not None and not node.active
        claim = FREE if self._rests else self.claim
        self.edge = self._graph.use(node, self, "root", claim)

    def remove(self) -> None:
        """Use nothing any more."""
        if self.edge is not None:
            edge, self.edge = self.edge, None
            self._graph.release(edge)

    def ask(self, claim: Claim) -> None:
        """Ask for something else of its node, and of the next. Raises QMPError."""
        if self.edge is not None:
            self._rests = self.device is not None and not self.edge.child.active
            if not self._rests:
                self.edge.ask(claim)
        self.claim = claim

    def rest(self) -> None:
        """Ask for nothing while the image is not this process's. Raises QMPError."""
        if not self._rests and self.edge is not None:
            writes = self.claim.needs & (WRITE | UNCHANGED)
            if writes and not self.label and not self.may_rest:
                raise QMPError("Operation not permitted")
            self.edge.ask(FREE)
            self._rests = True

    def wake(self) -> None:
        """Ask again for what it needs. Raises QMPError in QEMU's words."""
        if self._rests and self.edge is not None:
            self._waits = not self._graph.active
            self.edge.ask(Claim(self.claim.needs) if self._waits else self.claim)
            self._rests = False
        elif self._waits and self._graph.active:
            self._stop_waiting()

    def _stop_waiting(self) -> None:
        self._waits = False
        if self.edge is not None:
            try:
                self.edge.ask(self.claim)
            except QMPError as error:  # the guest runs already, and does so all the same
                _log.error("%s", error)

    def close(self) -> None:
        """Go for good."""
        self.remove()
        if self in self._graph.backends:
            self._graph.backends.remove(self)
