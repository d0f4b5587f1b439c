"""How long a guest stands still while its backends are handed over, and the floor of that."""

from __future__ import annotations

import floor
from figures import at_most, median, milliseconds, percentile
from pair import hand_overs

_HAND_OVERS = 200


def rows(name, directory, argv, *, fds, prepare=lambda _: None):
    """Hand over a machine to and fro; `fds` is how many descriptors travel."""
    times = [time for time, _ in hand_overs(directory, argv, _HAND_OVERS, prepare)]
    least = median(floor.round_trips(fds))
    beside = {"floor": f"{milliseconds(least)}, x{median(times) / least:.0f}"}
    return [
        at_most(f"blackout, {name}: median", median(times), 1e-3, milliseconds, beside),
        at_most(f"blackout, {name}: p99", percentile(times, 99), 5e-3, milliseconds),
    ]
