"""The programs that are measured side by side, as idle machines that a monitor is open to."""

from __future__ import annotations

import sys
from contextlib import contextmanager

from monitor import spawn

OURS = "qemu-sim"
SIM = [sys.executable, "-m", "qemu_sim"]
_MACHINE = ["-machine", "none", "-nodefaults", "-display", "none"]


def programs(qemus) -> dict[str, list[str]]:
    """Return the command of each program by its name, ours first."""
    return {OURS: SIM, **qemus}


@contextmanager
def machine(command, listener):
    """Start a machine with nothing in it; yields its process and its monitor, greeted."""
    process, monitor = spawn([*command, *_MACHINE], listener)
    try:
        yield process, monitor
    finally:
        monitor.close()
        process.kill()
        process.wait()


def split(figures: dict[str, float]) -> tuple[float, dict[str, float]]:
    """Return our figure and those of the others."""
    others = dict(figures)
    return others.pop(OURS), others
