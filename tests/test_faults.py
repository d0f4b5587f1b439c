"""What may be armed, and where."""

from __future__ import annotations

import pytest

from qemu_sim import faults
from qemu_sim.clock import RealClock
from qemu_sim.errors import QMPError
from qemu_sim.hooks import Hooks, check_passed


@pytest.mark.parametrize(
    ("fault", "at", "says"),
    [
        ("rust", None, "does not accept value 'rust': there are die, extra-fd, lose-fd, refuse"),
        ("refuse", "noon", "does not accept value 'noon': there are setup, connected"),
        ("lose-fd", "ready-sent", "fault 'lose-fd' strikes when descriptors are sent, not at"),
        ("refuse", "cancelling", "fault 'refuse' has nothing to break at 'cancelling'"),
        ("refuse", "failing", "fault 'refuse' has nothing to break at 'failing'"),
    ],
)
def test_what_makes_no_sense_is_refused(fault, at, says):
    with pytest.raises(QMPError, match=says):
        faults.arm(Hooks(lambda _: None, RealClock()), fault, at)


@pytest.mark.parametrize(("fault", "at"), [("die", "failing"), ("refuse", "stopped")])
def test_where_it_can_strike_it_is_taken(fault, at):
    faults.arm(Hooks(lambda _: None, RealClock()), fault, at)


def test_a_machine_is_not_held_where_it_never_comes_by():
    check_passed("ready-sent", incoming=True)
    check_passed("stopped", incoming=False)
    with pytest.raises(QMPError, match="only a machine that was started with -incoming"):
        check_passed("ready-sent", incoming=False)
