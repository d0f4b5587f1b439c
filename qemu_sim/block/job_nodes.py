"""What one job does to the graph: its filter, its uses of nodes, its block backends.

QEMU: blockjob.c (block_job_add_bdrv), block.c (bdrv_insert_node)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from qemu_sim.block.backend import Backend
from qemu_sim.block.driver_commit_top import DriverCommitTop
from qemu_sim.block.driver_copy_before_write import DriverCopyBeforeWrite
from qemu_sim.block.driver_copy_on_read import DriverCopyOnRead
from qemu_sim.block.driver_mirror_top import DriverMirrorTop
from qemu_sim.block.permissions import FREE, NONE, READ, RESIZE, UNCHANGED, WRITE, Claim, Permission
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.block.edge import Edge, Parent
    from qemu_sim.block.graph import Graph
    from qemu_sim.block.node import Node

    class WorksOnNodes(Parent, Protocol):
        """A job."""

        edges: list[Edge]
        settled: list[Callable[[], None]]

        def fail(self) -> None:
            """Forget it: it could not even be made."""


Make = Callable[[], "WorksOnNodes"]
_INTERMEDIATE = Claim(NONE, WRITE | UNCHANGED)


class Committed(NamedTuple):
    """What a commit is about: the image in use, those that are written into `base`, and that."""

    active: Node
    images: list[Node]
    base: Node

    @property
    def top(self) -> Node:
        """The highest that is written into the base."""
        return self.images[0]

    @property
    def is_active(self) -> bool:
        """Whether the image in use is among them: then the guest may write meanwhile."""
        return self.top is self.active


class JobNodes:
    """All of it, to be taken back when the job is settled."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.filter: Node | None = None
        self.rearrange: Callable[[], None] = _leave
        """What the job's result does to the graph, while the filter is still there."""
        self._backends: list[Backend] = []
        self._job: WorksOnNodes | None = None

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Take everything back where it fails, the job's making as well."""
        try:
            yield
        except QMPError:
            if self._job is None:
                self.remove()
            else:
                self._job.fail()
            raise

    # In the order in which a job does it.

    def append(self, made: Node, name: str | None, node: Node) -> Node:
        """Put a filter above `node`. Raises QMPError in QEMU's words."""
        self._graph.give_name(made, name)
        made.implicit = name is None
        try:
            self._graph.append(made, "backing", node)
        except QMPError:
            self._graph.drop(made)
            raise
        self.filter = made
        return made

    def insert(self, made: Node, name: str | None, node: Node, target: Node | None = None) -> Node:
        """Put a filter above `node` that could have been added by a client. Raises QMPError."""
        self._graph.give_name(made, name)
        try:
            self._attach(made, node, target)
            self._replace(node, made)
        except QMPError:
            self._graph.drop(made)
            raise
        self.filter = made
        return made

    def make(self, make: Make) -> None:
        """Make the job itself."""
        self._job = make()
        self._job.settled.append(self.remove)

    def use(self, node: Node, role: str, claim: Claim = FREE) -> None:
        """Have the job use `node`, and keep others from working on it. Raises QMPError."""
        assert self._job is not None  # made before
        self._job.edges.append(self._graph.use(node, self._job, role, claim, stays=True))

    def open(self, node: Node, claim: Claim, *, rests: bool = False) -> None:
        """Let the job read or write through a backend. Raises QMPError.

        `rests`: even if it writes, the image may be left to another process.
        """
        backend = Backend(self._graph, claim)
        backend.may_rest = rests
        self._backends.append(backend)
        backend.insert(node)

    # At its end.

    def remove(self) -> None:
        """Take the filter away, and use nothing any more."""
        while self._backends:
            self._backends.pop().close()
        edges = [] if self._job is None else self._job.edges
        for edge in edges:
            edge.ask(FREE)  # what it keeps is still needed below
        try:
            self.rearrange()
        finally:
            self._remove_filter()
            while edges:
                self._graph.release(edges.pop())

    def _remove_filter(self) -> None:
        made, self.filter = self.filter, None
        if made is not None and made.in_use:
            self._graph.drop_filter(made)
        elif made is not None:
            self._graph.drop_unused(made)

    def _attach(self, made: Node, node: Node, target: Node | None) -> None:
        try:
            self._graph.attach(made, "file", node)
            if target is not None:
                self._graph.attach(made, "target", target)
        except QMPError as error:
            raise error.behind("Could not create node: ") from None

    def _replace(self, node: Node, made: Node) -> None:
        try:
            self._graph.replace(node, made)
        except QMPError as error:
            raise error.behind("Could not replace node: ") from None


def _leave() -> None:
    """Change nothing."""


def for_mirror(graph: Graph, make: Make, source: Node, target: Node, name: str | None) -> JobNodes:
    """Return what a mirror does. Raises QMPError in QEMU's words."""
    nodes = JobNodes(graph)
    with nodes.trial():
        made = nodes.append(DriverMirrorTop({"driver": "mirror_top"}, {}), name, source)
        nodes.make(make)
        nodes.open(target, Claim(WRITE, UNCHANGED), rests=True)
        nodes.use(made, "main node", Claim(READ, READ | WRITE | UNCHANGED))
        nodes.use(source, "source", Claim(NONE, READ | WRITE | UNCHANGED))
        nodes.use(target, "target")
    return nodes


def for_commit(graph: Graph, make: Make, what: Committed, name: str | None) -> JobNodes:
    """Return what a commit does. Raises QMPError in QEMU's words."""
    nodes = JobNodes(graph)
    grows = RESIZE if what.base.size < what.top.size else NONE
    with nodes.trial():
        if what.is_active:
            _commit_active(nodes, make, what, name, grows)
        else:
            _commit(nodes, make, what, name, grows)
    return nodes


def _commit_active(
    nodes: JobNodes, make: Make, what: Committed, name: str | None, grows: Permission
) -> None:
    """Mirror into what the source stands on."""
    filter_ = DriverMirrorTop({"driver": "mirror_top", "commits": True}, {})
    made = nodes.append(filter_, name, what.top)
    nodes.make(make)
    nodes.open(what.base, Claim(WRITE | grows, READ | WRITE | UNCHANGED | grows), rests=True)
    nodes.use(made, "main node", Claim(READ, READ | WRITE | UNCHANGED))
    nodes.use(what.top, "source", Claim(NONE, READ | WRITE | UNCHANGED))
    nodes.use(what.base, "target")
    for image in what.images[1:]:
        nodes.use(image, "intermediate node", _INTERMEDIATE)


def _commit(
    nodes: JobNodes, make: Make, what: Committed, name: str | None, grows: Permission
) -> None:
    nodes.make(make)
    nodes.use(what.active, "main node")
    made = DriverCommitTop({"driver": "commit_top", "read-only": True}, {})
    nodes.append(made, name, what.top)
    for image in what.images:
        nodes.use(image, "intermediate node", _INTERMEDIATE)
    nodes.use(what.base, "base")
    nodes.open(what.base, Claim(READ | WRITE | grows, READ | UNCHANGED))
    nodes.open(what.top, FREE)


def for_backup(graph: Graph, make: Make, source: Node, target: Node, name: str | None) -> JobNodes:
    """Return what a backup does."""
    nodes = JobNodes(graph)
    with nodes.trial():
        filter_ = DriverCopyBeforeWrite({"driver": "copy-before-write"}, {})
        made = nodes.insert(filter_, name, source, target)
        nodes.make(make)
        nodes.use(made, "main node")
        nodes.use(target, "target")
    return nodes


def for_stream(graph: Graph, make: Make, images: list[Node], name: str | None) -> JobNodes:
    """Return what a stream into the first of `images` does."""
    nodes, top = JobNodes(graph), images[0]
    with nodes.trial():
        made = nodes.insert(DriverCopyOnRead({"driver": "copy-on-read"}, {}), name, top)
        made.implicit = name is None
        nodes.make(make)
        nodes.use(made, "main node")
        nodes.open(made, Claim(READ, READ | WRITE | UNCHANGED))
        nodes.use(top, "active node", Claim(NONE, READ | WRITE | UNCHANGED))
        for image in images[1:]:
            nodes.use(image, "intermediate node", Claim(NONE, READ | UNCHANGED))
    return nodes
