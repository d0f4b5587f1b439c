"""How many migrations of an idle machine one processor does, and what claimed RAM costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from figures import Row, at_most

_PROGRAM = os.path.join(os.path.dirname(__file__), os.pardir, "idle_migrations.py")
_COUNT = 2000
_SMALL, _LARGE = 64 << 20, 1 << 40
_A_MINUTE = 10_000
_MAY_GROW_KIB = 1024


def measure(directory, qemus):
    small, large = (_run(size) for size in (_SMALL, _LARGE))
    rate = 60 * _COUNT / max(small["seconds"], large["seconds"])
    name = "migrations of an idle machine a minute, on one processor, with manual clocks"
    grown = large["peak-kib"] - small["peak-kib"]
    return [
        Row(name, f"{rate:,.0f}", f">= {_A_MINUTE:,}", rate >= _A_MINUTE),
        at_most("KiB more to migrate 1 TiB of RAM than 64 MiB", grown, _MAY_GROW_KIB),
    ]


def _run(size):
    argv = [sys.executable, _PROGRAM, str(size), str(_COUNT)]
    return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
