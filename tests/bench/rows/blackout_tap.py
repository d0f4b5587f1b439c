"""How long a guest stands still while its TAPs are handed over."""

from __future__ import annotations

from contextlib import ExitStack

import blackout
from figures import at_most, median, milliseconds
from machines import taps
from monitor import Listener
from pair import migrate_once
from programs import SIM

_FRESH = 20


def measure(directory, qemus):
    return [
        *blackout.rows("one TAP", directory, taps(1), fds=1),
        *blackout.rows("one TAP of 8 queues", directory, taps(1, queues=8), fds=8),
        _fresh(directory),
    ]


def _fresh(directory):
    """Measure processes that have never handed anything over: what an update meets."""
    times = []
    listener = Listener(directory)
    for _ in range(_FRESH):
        with ExitStack() as stack:
            times.append(migrate_once(stack, listener, directory, SIM, taps(1), transfer=True)[0])
    name = f"blackout, one TAP, each of {_FRESH} times by two new processes"
    return at_most(name, median(times), 1e-3, milliseconds)
