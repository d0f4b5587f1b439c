"""How fast a machine answers."""

from __future__ import annotations

import time

from figures import a_second, at_least_times, median
from monitor import Listener
from programs import machine, programs, split

_SLICES = 5  # of each program in turn, so that a busy moment hits all alike
_SLICE = 0.3  # seconds
_PIPELINED = 64
_QUERY = b'{"execute":"query-status"}'


def measure(directory, qemus):
    return [
        _rate("query-status, one at a time", directory, qemus, 1, times=5),
        _rate(f"query-status, {_PIPELINED} under way", directory, qemus, _PIPELINED, times=9),
    ]


def _rate(name, directory, qemus, under_way, times):
    rates = {program: [] for program in programs(qemus)}
    for _ in range(_SLICES):
        for program, command in programs(qemus).items():
            with machine(command, Listener(directory)) as (_, monitor):
                monitor.negotiate()
                monitor.execute("query-status")  # what the first command loads is no rate
                rates[program].append(_queries_a_second(monitor.sock, under_way))
    ours, others = split({program: median(each) for program, each in rates.items()})
    return at_least_times(name, ours, times, others, a_second)


def _queries_a_second(sock, under_way) -> float:
    queries = _QUERY * under_way
    done, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < _SLICE:
        sock.sendall(queries)
        answered = 0
        while answered < under_way:
            answered += sock.recv(1 << 16).count(b"\r\n")
        done += under_way
    return done / spent
