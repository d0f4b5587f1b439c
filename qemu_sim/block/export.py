"""One node as clients elsewhere see it.

QEMU: block/export/export.c (BlockExport), nbd/server.c (nbd_export_create)
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from qemu_sim.block.backend import Backend
from qemu_sim.block.graph import Graph
from qemu_sim.block.node import Node
from qemu_sim.block.permissions import ALL, READ, RESIZE, WRITE, Claim
from qemu_sim.errors import QMPError

_SECTOR = 512
_READS = Claim(READ, ALL & ~RESIZE)
_WRITES = Claim(READ | WRITE, ALL & ~RESIZE)


class Client(Protocol):
    """One connection that uses the export."""

    def close(self) -> None:
        """End it."""


class Terms(NamedTuple):
    """How a node is exported."""

    id: str
    name: str
    description: str | None = None
    writable: bool = False
    writethrough: bool = False


class Export:
    """One export. It keeps its node, and takes the one that a job puts in its place."""

    kind = "nbd"

    def __init__(self, graph: Graph, node: Node, terms: Terms) -> None:
        """Use `node`. Raises QMPError where another does not share it."""
        self.terms = terms
        self.clients: set[Client] = set()
        self._backend = Backend(graph, _WRITES if terms.writable else _READS)
        self._backend.may_rest = True
        try:
            self._backend.insert(node)
        except QMPError:
            self._backend.close()
            raise

    @property
    def node(self) -> Node:
        """The node that clients see."""
        node = self._backend.node
        assert node is not None, "export is closed"
        return node

    @property
    def size(self) -> int:
        """Bytes, in whole sectors; beyond the end of the image there are zeros."""
        return -(-self.node.size // _SECTOR) * _SECTOR

    def describe(self) -> dict[str, Any]:
        """Return the BlockExportInfo."""
        return {
            "id": self.terms.id,
            "type": self.kind,
            "node-name": self.node.name,
            "shutting-down": False,  # clients are gone in the same moment
        }

    def check_unused(self) -> None:
        """Raise QMPError in QEMU's words while a client is there."""
        if self.clients:
            raise QMPError(f"export '{self.terms.id}' still in use")

    def close(self) -> None:
        """End all connections and let the node go."""
        for client in list(self.clients):
            client.close()
        self._backend.close()
