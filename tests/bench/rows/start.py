"""How soon a machine greets, and answers."""

from __future__ import annotations

import time

from figures import Row, at_most, at_most_times, median, milliseconds
from monitor import Listener
from programs import machine, programs, split

_STARTS = 20


def measure(directory, qemus):
    """Measure from the start of the process to its greeting, and to its first real answer."""
    listener = Listener(directory)
    greeted, answered = ({name: [] for name in programs(qemus)} for _ in range(2))
    for _ in range(_STARTS):
        for name, command in programs(qemus).items():
            begun = time.perf_counter()
            with machine(command, listener) as (_, monitor):
                greeted[name].append(time.perf_counter() - begun)
                monitor.negotiate()
                monitor.execute("query-status")
                answered[name].append(time.perf_counter() - begun)
    ours, others = split({name: median(each) for name, each in greeted.items()})
    first, firsts = split({name: median(each) for name, each in answered.items()})
    beside = {name: milliseconds(value) for name, value in firsts.items()}
    return [
        at_most("start to greeting", ours, 100e-3, milliseconds),
        at_most_times("start to greeting, beside QEMU", ours, 2, others, milliseconds),
        Row("start to first query-status answered", milliseconds(first), beside=beside),
    ]
