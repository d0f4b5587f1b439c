"""The graph with its permissions, as x-debug-query-block-graph shows it.

QEMU: block.c (bdrv_get_xdbg_block_graph)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from qemu_sim.block.edge import Edge
    from qemu_sim.block.graph import Graph


class WorksOnNodes(Protocol):
    """A block job."""

    id: str
    edges: list[Edge]


class Report:
    """What is listed so far. Numbers are given in the order of mention, lists end up reversed."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._nodes: list[dict[str, Any]] = []
        self._edges: list[dict[str, Any]] = []

    def answer(self) -> dict[str, Any]:
        """Return the XDbgBlockGraph."""
        return {"nodes": self._nodes[::-1], "edges": self._edges[::-1]}

    def mention(self, vertex: object, kind: str, name: str) -> None:
        """List a vertex."""
        self._nodes.append({"id": self._number(vertex), "type": kind, "name": name})

    def join(self, edge: Edge) -> None:
        """List an edge."""
        self._edges.append(
            {
                "parent": self._number(edge.parent),
                "child": self._number(edge.child),
                "name": edge.name,
                "perm": edge.claim.needs.listed,
                "shared-perm": edge.claim.shares.listed,
            }
        )

    def _number(self, vertex: object) -> int:
        return self._numbers.setdefault(vertex, len(self._numbers) + 1)


def report(graph: Graph, jobs: Iterable[WorksOnNodes]) -> dict[str, Any]:
    """Return the XDbgBlockGraph of a graph and the jobs on it, the newest first."""
    made = Report()
    for backend in graph.backends:
        made.mention(backend, "block-backend", backend.label)
        if backend.edge is not None:
            made.join(backend.edge)
    for job in jobs:
        made.mention(job, "block-job", job.id)
        for edge in reversed(job.edges):
            made.join(edge)
    for node in graph.nodes.values():
        made.mention(node, "block-driver", node.name)
        for edge in reversed(node.links.values()):
            made.join(edge)
    return made.answer()
