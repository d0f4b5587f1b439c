"""How fast a disk's contents are mirrored to another process over NBD."""

from __future__ import annotations

import os
import time

from figures import Row, median
from monitor import Listener
from programs import machine, programs, split

_SIZE = 256 << 20
_ROUNDS = 3
_PIECE = 1 << 20


def measure(directory, qemus):
    """From each program to another one of its kind; no part is zero."""
    source, target = (os.path.join(directory, name) for name in ("source", "target"))
    with open(source, "wb") as file:
        file.writelines(os.urandom(_PIECE) for _ in range(0, _SIZE, _PIECE))
    rates = {}
    for name, command in programs(qemus).items():
        listener = Listener(directory)
        rates[name] = median([_rate(command, listener, source, target) for _ in range(_ROUNDS)])
    ours, others = split(rates)
    beside = {name: _megabytes(rate) for name, rate in others.items()}
    return [Row(f"storage mirrored over NBD, {_SIZE >> 20} MiB", _megabytes(ours), beside=beside)]


def _rate(command, listener, source, target) -> float:
    with open(target, "wb") as file:
        file.truncate(_SIZE)
    path = target + ".nbd"
    with machine(command, listener) as (_, here), machine(command, listener) as (_, there):
        for monitor, name in ((here, source), (there, target)):
            monitor.negotiate()
            image = {"driver": "file", "filename": name}
            monitor.execute("blockdev-add", driver="raw", node_name="disk", file=image)
        there.execute("nbd-server-start", addr={"type": "unix", "data": {"path": path}})
        there.execute("block-export-add", type="nbd", id="e", node_name="disk", writable=True)
        server = {"type": "unix", "path": path}
        here.execute("blockdev-add", driver="nbd", node_name="wire", server=server, export="disk")
        begun = time.perf_counter()
        here.execute("blockdev-mirror", job_id="m", device="disk", target="wire", sync="full")
        here.next_event("BLOCK_JOB_READY")
        return _SIZE / (time.perf_counter() - begun)


def _megabytes(rate) -> str:
    return f"{rate / 1e6:,.0f} MB/s"
