"""How long the longest answer takes, which every client asks for."""

from __future__ import annotations

import time

from figures import at_most, median, milliseconds
from monitor import Listener
from programs import machine, programs, split

_TIMES = 20


def measure(directory, qemus):
    """Measure from the question to the last byte of the answer, which is not parsed here."""
    times = {}
    for name, command in programs(qemus).items():
        with machine(command, Listener(directory)) as (_, monitor):
            monitor.negotiate()
            monitor.execute("query-qmp-schema")
            times[name] = median(_ask(monitor.sock) for _ in range(_TIMES))
    ours, others = split(times)
    beside = {name: milliseconds(each) for name, each in others.items()}
    return [at_most("query-qmp-schema, after the first", ours, 5e-3, milliseconds, beside)]


def _ask(sock) -> float:
    begun = time.perf_counter()
    sock.sendall(b'{"execute":"query-qmp-schema"}')
    while not sock.recv(1 << 18).endswith(b"\r\n"):
        pass
    return time.perf_counter() - begun
