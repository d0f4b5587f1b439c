"""How soon a machine greets, how fast it answers, and what it weighs while nobody asks."""

from __future__ import annotations

import time
from contextlib import contextmanager

from figures import Row, median, milliseconds
from hand_overs import SIM
from monitor import Listener, spawn

_MACHINE = ["-machine", "none", "-nodefaults", "-display", "none"]
_STARTS = 20
_SLICES = 5  # of each program in turn, so that a busy moment hits all alike
_SLICE = 0.3  # seconds
_PIPELINED = 64
_QUERY = b'{"execute":"query-status"}'


def start(directory, qemus):
    """Measure from the start of the process to its greeting."""
    listener = Listener(directory)
    times = {name: [] for name in _programs(qemus)}
    for _ in range(_STARTS):
        for name, command in _programs(qemus).items():
            begun = time.perf_counter()
            with _machine(command, listener):
                times[name].append(time.perf_counter() - begun)
    ours, beside = _split({name: median(each) for name, each in times.items()})
    texts = {name: milliseconds(value) for name, value in beside.items()}
    return [Row("start to greeting", milliseconds(ours), 100e-3, ours, texts)]


def rate(directory, qemus):
    return [
        _rate("query-status, one at a time", directory, qemus, 1),
        _rate(f"query-status, {_PIPELINED} under way", directory, qemus, _PIPELINED),
    ]


def memory(directory, qemus):
    """Measure the proportional set size of an idle machine."""
    sizes = {}
    for name, command in _programs(qemus).items():
        with _machine(command, Listener(directory)) as (process, _):
            sizes[name] = _pss_mib(process.pid)
    ours, beside = _split(sizes)
    texts = {name: f"{size:.1f} MiB" for name, size in beside.items()}
    return [Row("memory, idle (PSS)", f"{ours:.1f} MiB", beside=texts)]


def _rate(name, directory, qemus, under_way):
    rates = {program: [] for program in _programs(qemus)}
    for _ in range(_SLICES):
        for program, command in _programs(qemus).items():
            with _machine(command, Listener(directory)) as (_, monitor):
                monitor.negotiate()
                monitor.execute("query-status")  # what the first command loads is no rate
                rates[program].append(_queries_a_second(monitor.sock, under_way))
    ours, beside = _split({program: median(each) for program, each in rates.items()})
    texts = {program: f"{each:,.0f}/s" for program, each in beside.items()}
    target = 2 * max(beside.values()) if beside else None
    return Row(name, f"{ours:,.0f}/s", target, ours, texts, at_least=True)


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


@contextmanager
def _machine(command, listener):
    process, monitor = spawn([*command, *_MACHINE], listener)
    try:
        yield process, monitor
    finally:
        monitor.close()
        process.kill()
        process.wait()


def _programs(qemus):
    return {"qemu-sim": SIM, **qemus}


def _split(figures):
    beside = dict(figures)
    return beside.pop("qemu-sim"), beside


def _pss_mib(pid) -> float:
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
