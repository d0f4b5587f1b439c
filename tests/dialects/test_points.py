"""Each dialect at each point that it passes: either side fails or leaves, or it is cancelled.

Which points there are is seen in a migration that nothing disturbs. What then becomes of
the machine depends on the dialogue alone (`ownership.py`): a row says where the other side
stands while one is held at the point, and what follows from what may happen there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from meeting import SIDES, Meeting
from pair import machines
from scenarios import SCENARIOS, Scenario

from qemu_sim import catalog
from qemu_sim.hooks import DESTINATION_POINTS, SOURCE_POINTS

K = "the source keeps it"
G = "the destination has it, and the source knows"
D = "the destination has it, and the source holds its copies, stopped"
N = "nobody runs, until 'cont' on the source"
EVENTS = ("cancel", "cut", "refuse", "the source quits", "the destination quits")

KEPT = (K, K, K, K, K)
HANDED_ON = (G, G, D, G, G)
HAND_OVER = {
    "setup": (None, *KEPT),
    "connected": ("waiting", *KEPT),
    **dict.fromkeys(("offer-sent", "answer-received", "active"), ("agreed", *KEPT)),
    **dict.fromkeys(("before-stop", "stopped", "device", "device-sent"), ("agreed", *KEPT)),
    **dict.fromkeys(("descriptors-sent", "ready-received"), ("ready", *KEPT)),
    **dict.fromkeys(("commit-sent", "started-received"), (None, *HANDED_ON)),
    **dict.fromkeys(("accepted", "offer-received"), ("offered", *KEPT)),
    **dict.fromkeys(("answer-sent", "device-loaded", "descriptors-received"), ("handed", *KEPT)),
    **dict.fromkeys(("ready-sent", "commit-received"), ("committed", G, D, N, G, N)),
    "started": ("committed", G, D, D, G, N),
}
PLAIN = {
    "setup": (None, *KEPT),
    **dict.fromkeys(("connected", "active", "before-stop"), ("waiting", *KEPT)),
    **dict.fromkeys(("stopped", "device", "device-sent"), ("waiting", *KEPT)),
}
RETURN_PATH = PLAIN | {
    "accepted": ("owner", *KEPT),
    "device-loaded": ("given", G, D, K, G, K),
}
# It does not wait for a destination that has accepted: all is written, and enough to start.
ONE_WAY = PLAIN | dict.fromkeys(("accepted", "device-loaded"), ("written", G, G, K, G, K))

DIALECTS = catalog.names("qemu_sim.migration.dialects", "")
CASES = [
    (dialect, returns)
    for dialect in DIALECTS
    for returns in (True, False)
    # Of what has no return path the stream is the same, but for where its TAPs are.
    if returns or dialect in ("bool", "local")
]
LOST = r"Unable to (read from|write to) socket: (Broken pipe|Connection reset by peer)"
TAKES_BACK = r"the machine is held here, stopped, and 'cont' takes it back$"
NOTHING = "Invalid argument: Not a migration stream, magic: 0 != 5145564d"
CUT_OFF = (
    "Input/output error: Failed to load section ID: stream error: -5: "
    "Channel error: Input/output error"
)
REFUSED = "refused by an injected fault"


def rows(dialect, *, returns):
    if dialect == "devices":
        return HAND_OVER
    return RETURN_PATH if returns else ONE_WAY


def scenario(*, returns):
    both = SCENARIOS[0]
    return Scenario(both.title, return_path=returns)


class Moment(NamedTuple):
    side: str
    point: str
    event: str

    def __str__(self) -> str:
        return f"{self.event} at the {self.side}'s {self.point}"


class Case:
    """One pair, held at one point, and what befalls it there."""

    def __init__(self, make, dialect, returns, moment) -> None:
        self.pair = Meeting(make, dialect, scenario(returns=returns))
        self.dialect = dialect
        self.side, self.point, self.event = moment
        self.stands, *fates = rows(dialect, returns=returns)[moment.point]
        self.fate = fates[EVENTS.index(moment.event)]

    def play(self) -> None:
        if self.event == "refuse":
            self.pair.side(self.side).inject("refuse", at=self.point)
            self.pair.meet()
        else:
            self.reach()
            self.befall()
            self.pair.release()
        self.check_ends()
        self.check_traffic()

    def reach(self) -> None:
        """Be at the point, and the other side as far as it comes meanwhile."""
        pair, holder = self.pair, self.pair.side(self.side)
        holder.hold(self.point)
        pair.meet()
        holder.wait_held(self.point)
        other = next(name for name in SIDES if name != self.side)
        pair.until(lambda: pair.stands(other) == self.stands, f"the other is {self.stands}")
        assert not pair.both_ran

    def befall(self) -> None:
        match self.event.split():
            case ["cancel"]:
                self.pair.source.execute("migrate_cancel")
            case ["cut"]:
                self.pair.cut()
            case ["the", name, "quits"]:
                self.pair.quit(name)

    def check_ends(self) -> None:
        """Check statuses, run states and words of those who are still there."""
        pair, fate = self.pair, self.fate
        ended = "cancelled" if self.event == "cancel" else "failed"
        came = self.point != "setup"  # else nobody came to the destination
        source = {G: ("completed", "postmigrate"), K: (ended, "running")}
        given = ("completed", "running")
        destination = {G: given, D: given}
        here = source.get(fate, ("failed", "postmigrate"))
        there = destination.get(fate, ("failed" if came else "setup", "inmigrate"))
        for name, expected in zip(SIDES, (here, there), strict=True):
            if name not in pair.gone:
                pair.until(lambda n=name, e=expected: pair.status(n) == e, f"{name} is {expected}")
        if "source" not in pair.gone:
            self.check_words("source", self.source_says())
        if "destination" not in pair.gone:
            self.check_words("destination", self.destination_says() if there[0] == "failed" else "")

    def check_words(self, name, expected) -> None:
        said = self.pair.error(name) or ""
        assert re.search(expected or "^$", said), (name, said, expected)

    def source_says(self) -> str:
        if self.fate == G or self.event == "cancel":
            return ""
        if self.fate != K:
            given = "commit" if self.dialect == "devices" else "everything"
            return f"; {given} was sent, (so|but) the destination .*: {TAKES_BACK}"
        if self.event == "refuse" and self.side == "source":
            return f"^{REFUSED}$"
        if self.event == "cut":
            return f"^({LOST}|the destination left before commit)$"
        if self.dialect == "devices":
            return f"^({REFUSED}|the destination (was closed|failed where .*)|Failed to connect.*)$"
        return f"^({LOST}|Failed to connect to .*)$"

    def destination_says(self) -> str:
        if self.event == "refuse" and self.side == "destination":
            return f"{REFUSED}$"
        if self.dialect != "devices" or self.point == "connected":
            return f"^load of migration failed: ({NOTHING}|{CUT_OFF})$"
        if self.event == "cut":
            return f"^({LOST}|the source was lost before commit; the machine is held here.*)$"
        return f"^the source took it back: ({REFUSED}|cancelled)$"

    def check_traffic(self) -> None:
        """Check who serves; where nobody does, the manager lets the source do it."""
        pair = self.pair
        if self.fate == N and "source" not in pair.gone:
            pair.check_owner()
            pair.source.execute("cont")
        owner = "source" if self.fate in (K, N) else "destination"
        if owner not in pair.gone:
            pair.check_owner(owner)


def moments(passed):
    for side in SIDES:
        for point in passed[side]:
            for event in EVENTS:
                if (point, event) != ("setup", "cut"):  # there is no channel yet
                    yield Moment(side, point, event)


@pytest.mark.parametrize(("dialect", "returns"), CASES)
def test_whatever_happens_at_a_point(netns, dialect, returns):
    with machines("in-process") as make:
        passed = Meeting(make, dialect, scenario(returns=returns)).passed()
    told = rows(dialect, returns=returns)
    assert {point for points in passed.values() for point in points} == set(told)
    for moment in moments(passed):
        try:
            with machines("in-process") as make:
                Case(make, dialect, returns, moment).play()
        except Exception as error:
            raise AssertionError(str(moment)) from error


def test_each_point_of_a_hand_over_is_tried():
    assert set(HAND_OVER) == {*SOURCE_POINTS, *DESTINATION_POINTS}
