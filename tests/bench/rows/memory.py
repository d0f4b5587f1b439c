"""What a machine weighs while nobody asks."""

from __future__ import annotations

from figures import at_most, megabytes
from monitor import Listener
from programs import machine, programs, split


def measure(directory, qemus):
    """Measure the proportional set size: what others have mapped, too, counts in part."""
    sizes = {}
    for name, command in programs(qemus).items():
        with machine(command, Listener(directory)) as (process, monitor):
            monitor.negotiate()
            monitor.execute("query-status")  # all commands are loaded now
            sizes[name] = _pss(process.pid)
    ours, others = split(sizes)
    beside = {name: megabytes(each) for name, each in others.items()}
    return [at_most("memory of an idle daemon (PSS)", ours, 25e6, megabytes, beside)]


def _pss(pid) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
