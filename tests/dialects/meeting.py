"""A pair in the test's own process, so that a test sees where either end stands at any moment.

What befalls it is done through QMP, but for what no client can do: to cut the channel.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from functools import partial

from pair import Pair, check_traffic
from speakers import ALL

# Not used here, but once in this process instead of once in each test's own.
import qemu_sim.devices.virtio_net_pci
import qemu_sim.migration.migration
import qemu_sim.testing.reports  # noqa: F401
from qemu_sim.errors import QMPError

SIDES = ("source", "destination")
_LIMIT = 10.0  # seconds


class Meeting(Pair):
    """One source, one destination, and whether ever both ran."""

    def __init__(self, *args, patience=5.0, **keywords) -> None:
        """`patience` is the phase timeout, in seconds."""
        super().__init__(*args, **keywords)
        self.gone: set[str] = set()
        self.both_ran = False
        for machine in map(self.inner, SIDES):
            machine.migration._phase_timeout = patience
            machine.run_state.watch(self._look)

    def side(self, name):
        """Return a side as a client has it."""
        return getattr(self, name)

    def inner(self, name):
        """Return the machine itself."""
        return self.side(name).unwrapped.launch._host.machine

    def passed(self) -> dict[str, list[str]]:
        """Meet undisturbed; return the points that each side passes, in order, each once."""
        found = {name: [] for name in SIDES}
        for name in SIDES:
            hooks = self.inner(name).hooks
            hooks.reach = self._noting(hooks.reach, found[name])
        self.meet()
        for name in SIDES:
            assert self.ended(self.side(name))["status"] == "completed"
        return {name: list(dict.fromkeys(points)) for name, points in found.items()}

    def stands(self, name) -> str | None:
        """Return where a side stands in the table of its dialogue, None where nobody is there."""
        last = self.inner(name).migration._last
        way = "_incoming" if self.inner(name).migration.receives else "_outgoing"
        there = last and getattr(last, way)
        return there and there.end.state

    def until(self, condition, what) -> None:
        """Fail unless `condition()` becomes true in time."""
        deadline = time.monotonic() + _LIMIT
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.001)

    def cut(self) -> None:
        """Break the channel: both read what has arrived, and then its end."""
        last = self.inner("source").migration._last
        outgoing = last and last._outgoing
        if outgoing is not None:
            self._soon(partial(_shut_down, outgoing.stream._channel))

    def cont(self, name) -> None:
        """Start a side where no manager would doubt that the other does not run."""

        async def start():
            machine = self.inner(name)
            is_doubtful = self.stands(name) == "held"
            is_elsewhere = name == "source" and machine.migration.status.value == "completed"
            if not is_doubtful and not is_elsewhere:
                with suppress(QMPError):
                    await machine.cont()

        self._run(start())

    def step(self, name) -> None:
        """Let a side that is held go on to its next point."""
        if self.inner(name).hooks.waiting_at is not None:
            self.side(name).execute("x-sim-migration-step")

    def quit(self, name) -> None:
        """End a side in order, and wait until it has."""
        self.side(name).execute("quit")
        self.side(name).wait()
        self.gone.add(name)

    def release(self) -> None:
        """Let whoever is held go on."""
        for name in set(SIDES) - self.gone:
            if self.inner(name).hooks.waiting_at is not None:
                self.side(name).release()

    def status(self, name) -> tuple[str, str]:
        """Return a side's migration status and run state."""
        machine = self.side(name)
        migration = machine.execute("query-migrate").get("status")
        return migration, machine.execute("query-status")["status"]

    def error(self, name) -> str | None:
        """Return what a side says that went wrong."""
        return self.side(name).execute("query-migrate").get("error-desc")

    def check_owner(self, *owner, traffic=True) -> None:
        """Assert that this side, and no other, runs and answers at each TAP; or nobody does."""
        assert [name for name in SIDES if self.runs(name)] == [*owner]
        assert not self.both_ran
        if not traffic:
            return
        before = self._frames()
        for number in ALL:
            check_traffic(number, is_answered=bool(owner))
        for name, count in self._frames().items():
            assert (count > before[name]) == (name in owner), name

    def runs(self, name) -> bool:
        """Whether the guest runs on this side, if that is still there."""
        return name not in self.gone and self.inner(name).is_running

    def _frames(self) -> dict[str, int]:
        alive = [name for name in SIDES if name not in self.gone]
        guests = {name: self.side(name).query_guest() for name in alive}
        return {name: sum(nic.frames_out for nic in guests[name].values()) for name in alive}

    def _look(self) -> None:
        self.both_ran |= all(map(self.runs, SIDES))

    def _noting(self, reach, found):
        async def note(point):
            found.append(point)
            await reach(point)

        return note

    def _soon(self, act) -> None:
        """Do it on the machines' own thread, and wait until it is done."""

        async def run():
            act()

        self._run(run())

    def _run(self, coroutine) -> None:
        self.source._thread.call(coroutine, _LIMIT)


def _shut_down(channel) -> None:
    """Break a socket that is still open; what a program or a file is read from has no end."""
    sock = getattr(channel, "_sock", None)
    if sock is not None and not channel.closed:
        sock.shutdown(socket.SHUT_RDWR)
