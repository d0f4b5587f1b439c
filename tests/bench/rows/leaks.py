"""What a thousand hand-overs of a TAP and a disk leave in two processes."""

from __future__ import annotations

from contextlib import ExitStack

from figures import at_most
from machines import served_disk, taps, use_disk
from monitor import Listener
from pair import Pair

# Hand-overs after which nothing may grow any more: a heap takes some hundred to find its height.
_SETTLED = 500
_MANY = 1000
_LIMITS = {"descriptors": 0, "tasks": 0, "objects": 0, "resident-kib": 512}


def measure(directory, qemus):
    with served_disk(directory, beside=taps(1)) as argv, ExitStack() as stack:
        pair = Pair(Listener(directory), directory, argv, use_disk)
        stack.callback(pair.close)
        for _ in range(_SETTLED):
            pair.hand_over()
        before = pair.census()
        for _ in range(_MANY):
            pair.hand_over()
        after = pair.census()
    return [
        at_most(f"{kind} more after {_MANY} hand-overs", _grown(before, after, kind), limit)
        for kind, limit in _LIMITS.items()
    ]


def _grown(before, after, kind):
    """Return the growth of the process that grew more."""
    return max(new[kind] - old[kind] for old, new in zip(before, after, strict=True))
