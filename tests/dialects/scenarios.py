"""What a manager meets, in each dialect: two daemons, two TAPs, one attempt to migrate."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

from pair import Pair, check_traffic, machines
from speakers import ALL, SPEAKERS

from qemu_sim.testing import QMPError

_OLD = "pc-i440fx-10.1"


@dataclass(frozen=True)
class Scenario:
    """One row. Both sides ask for both TAPs, unless something else is said.

    `own`: the NICs for which the destination names a TAP of its own. `open`: its TAPs are
    opened where they are made, because of an up script or because it asks too late.
    """

    title: str
    source: tuple | None = ALL
    destination: tuple | None = ALL
    machines: tuple = ("pc", "pc")
    queues: tuple = (1, 1)
    own: tuple = ()
    open: bool = False
    channel: str = "unix"
    return_path: bool = True


SCENARIOS = (
    Scenario("both sides ask for both"),
    Scenario("both leave `nic1` out", source=(0,), destination=(0,), own=(1,)),
    Scenario("only the source asks", destination=None, own=ALL),
    Scenario("only the destination asks", source=None, own=ALL),
    Scenario("older machine type on both sides", machines=(_OLD, _OLD), own=ALL),
    Scenario("older machine type on the source", machines=(_OLD, "pc")),
    Scenario("older machine type on the destination", machines=("pc", _OLD), own=ALL),
    Scenario("2 queues on the source, 1 on the destination", queues=(2, 1)),
    Scenario("1 queue on the source, 2 on the destination", queues=(1, 2)),
    *(Scenario(f"channel is `{kind}:`", channel=kind) for kind in ("tcp", "exec", "file", "fd")),
    Scenario("the destination's TAPs are open already", own=ALL, open=True),
)


class Outcome(NamedTuple):
    """What became of it, in a few words, and the errors that said so."""

    words: str
    errors: tuple[str, ...] = ()


def play(dialect: str, scenario: Scenario) -> Outcome:
    """Play one scenario; whatever a machine complains of or leaves behind is an error."""
    with machines("daemon") as make:
        return run(make, dialect, scenario)


def run(make, dialect: str, scenario: Scenario) -> Outcome:
    """Play one scenario with machines that `make` makes, in a network namespace of our own."""
    asking = SPEAKERS[dialect](dialect, waits=False)
    leaves_out = (scenario.source or ALL) != ALL
    if leaves_out and not asking.can_leave_out():
        return Outcome("cannot be said")
    return Play(make, dialect, scenario).run()


class Play:
    """One scenario, under way."""

    def __init__(self, make, dialect, scenario) -> None:
        self._pair = Pair(make, dialect, scenario)

    def run(self) -> Outcome:
        try:
            self._pair.meet()
        except QMPError as error:
            assert self._pair.source.execute("query-status")["running"]
            return Outcome("refused", (error.desc,))
        return self._judge()

    def _judge(self) -> Outcome:
        reports = [self._pair.ended(machine) for machine in self._pair.ends]
        statuses = {report["status"] for report in reports}
        if statuses == {"completed"}:
            return Outcome(self._where_they_are())
        assert statuses == {"failed"}, reports
        assert self._pair.source.execute("query-status")["running"]
        for number in ALL:
            check_traffic(number, is_answered=True)
        errors = [report["error-desc"] for report in reports]
        return Outcome("fails", tuple(dict.fromkeys(errors)))

    def _where_they_are(self) -> str:
        """Say which TAPs have travelled, after a ping through each."""
        found = _interfaces(self._pair.destination.pid)
        travelled = [number for number in ALL if f"tap{number}" in found]
        dead = [number for number in ALL if not {f"tap{number}", f"own{number}"} & found]
        for number in ALL:
            check_traffic(number, is_answered=number in travelled)
        words = {ALL: "both travel", (): "none travels"}
        text = words.get(tuple(travelled), f"`nic{''.join(map(str, travelled))}` travels")
        return text + (", but the NICs are dead" if dead == list(ALL) else "")


def _interfaces(pid: int) -> set[str]:
    """Names of the TAPs that a process holds. Linux: /proc/PID/fdinfo of /dev/net/tun."""
    found = set()
    for number in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as file:
            lines = dict(line.rstrip("\n").split(":", 1) for line in file if ":" in line)
        if "iff" in lines:
            found.add(lines["iff"].strip())
    return found
