"""Whatever is tried in whatever order: permissions agree, and what is refused changes nothing."""

import asyncio
import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from qemu_sim.block import activity, job_nodes
from qemu_sim.block.backend import Backend
from qemu_sim.block.drive import Drives, Use
from qemu_sim.block.edge import asked_of
from qemu_sim.block.graph import Graph
from qemu_sim.block.graph_report import report
from qemu_sim.block.permissions import ALL, Claim, Permission
from qemu_sim.block.reopening import reopen
from qemu_sim.errors import QMPError

NAMES = st.sampled_from("abcdef")
SOME = st.integers(0, 15).map(Permission)
FLAGS = st.booleans()
CHANGES = st.one_of(
    st.tuples(st.just("null"), NAMES, FLAGS),
    st.tuples(st.just("raw"), NAMES, NAMES, FLAGS),
    st.tuples(st.just("window"), NAMES, NAMES, FLAGS),
    st.tuples(st.just("cor"), NAMES, NAMES, FLAGS),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("plug"), NAMES, FLAGS, FLAGS),
    st.tuples(st.just("unplug"), st.integers(0, 3)),
    st.tuples(st.just("use"), NAMES),
    st.tuples(st.just("ask"), st.integers(0, 2), SOME, SOME),
    st.tuples(st.just("reopen"), NAMES, FLAGS),
    st.tuples(st.just("active"), NAMES, FLAGS),
    st.tuples(st.just("mirror"), NAMES, NAMES, FLAGS),
    st.tuples(st.just("backup"), NAMES, NAMES),
    st.tuples(st.just("settle"), st.integers(0, 2)),
)


class Machine:
    """A graph and what uses it."""

    def __init__(self, new_job):
        self.new_job = new_job
        self.graph = Graph({})
        self.drives = Drives(self.graph)
        self.plugged = []
        self.used = []
        self.jobs = []

    def close(self):
        for _ in list(self.jobs):
            self.settle(0)
        for backend in self.used:
            backend.close()
        self.drives.close()
        self.graph.close()

    async def do(self, kind, *arguments):
        done = getattr(self, kind)(*arguments)
        if asyncio.iscoroutine(done):
            await done

    async def null(self, name, read_only):
        await self._add("null-co", name, {}, read_only)

    async def raw(self, name, below, read_only):
        await self._add("raw", name, {"file": below}, read_only)

    async def window(self, name, below, read_only):
        await self._add("raw", name, {"file": below, "offset": 512}, read_only)

    async def cor(self, name, below, read_only):
        await self._add("copy-on-read", name, {"file": below}, read_only)

    async def _add(self, driver, name, more, read_only):
        options = {"driver": driver, "node-name": name, "read-only": read_only, **more}
        await self.graph.add(options)

    def delete(self, name):
        self.graph.delete(name)

    def plug(self, name, shares, removable):
        number = len(self.plugged)
        use = Use(removable=removable, shares_write=shares)
        self.plugged.append(self.drives.attach("drive", name, f"d{number}", use))

    def unplug(self, number):
        if number < len(self.plugged):
            self.drives.detach(self.plugged.pop(number))

    def use(self, name):
        node, backend = self.graph.node(name), Backend(self.graph)
        backend.insert(node)
        self.used.append(backend)

    def ask(self, number, needs, shares):
        if number < len(self.used):
            self.used[number].ask(Claim(needs, shares))

    def reopen(self, name, read_only):
        node = self.graph.node(name)
        reopen(self.graph, {**node.options, "read-only": read_only})

    def active(self, name, active):
        change = activity.activate if active else activity.inactivate
        change(self.graph.node(name))

    def mirror(self, source, target, pivots):
        source, target = self._pair(source, target)
        job = self.new_job()
        nodes = job_nodes.for_mirror(self.graph, job, source, target, None)
        if pivots:
            nodes.rearrange = lambda: self.graph.replace(source, target)
        self.jobs.append(job)

    def backup(self, source, target):
        job = self.new_job()
        job_nodes.for_backup(self.graph, job, *self._pair(source, target), None)
        self.jobs.append(job)

    def _pair(self, *names):
        source, target = (self.graph.node(name) for name in names)
        if source is target:
            raise QMPError("one node is no pair")
        source.check_free()
        target.check_free()
        return source, target

    def settle(self, number):
        if number < len(self.jobs):
            with contextlib.suppress(QMPError):  # a pivot that is refused: the rest is undone
                self.jobs.pop(number).settle()

    def state(self):
        """Everything that permissions decide on, and what they say."""
        facts = [(node.name, node.read_only, node.active) for node in self.graph.listed()]
        return facts, report(self.graph, self.jobs)

    def check(self):
        for node in self.graph.listed():
            for one in node.parents:
                for other in node.parents:
                    if one is not other:
                        one.check(other)
            for role, edge in node.links.items():
                assert edge.parent is node
                assert edge in edge.child.parents
                expected = node.claim_on(role, asked_of(node))
                if edge.child.options.get("force-share"):
                    expected = expected._replace(shares=ALL)
                assert edge.claim == expected


async def _try(changes, new_job):
    machine = Machine(new_job)
    try:
        await machine.null("a", read_only=False)
        for name, below in ("ba", "cb", "dc"):
            await machine.raw(name, below, read_only=False)
        await machine.null("e", read_only=False)
        for change in changes:
            before = machine.state()
            try:
                await machine.do(*change)
            except QMPError:
                assert machine.state() == before, change
            machine.check()
    finally:
        machine.close()
    assert machine.graph.backends == []


@settings(max_examples=300, deadline=None)
@given(st.lists(CHANGES, max_size=25))
def test_permissions_agree_after_any_change(new_job, changes):
    asyncio.run(_try(changes, new_job))
