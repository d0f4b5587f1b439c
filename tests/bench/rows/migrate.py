"""How long a whole migration takes, from the command to the event `completed`."""

from __future__ import annotations

from contextlib import ExitStack

from figures import at_most, median, milliseconds
from machines import taps
from monitor import Listener
from pair import hand_overs, migrate_once

_MIGRATIONS = 50
_QEMU_MIGRATIONS = 5
_NO_BACKEND = ["-machine", "q35", "-m", "64M", "-nodefaults", "-display", "none"]


def measure(directory, qemus):
    times = [whole for _, whole in hand_overs(directory, taps(8), _MIGRATIONS)]
    beside = {
        name: milliseconds(median(_bare_migrations(directory, command)))
        for name, command in qemus.items()
    }
    name = "migrate, 8 TAPs and 64 MiB shared RAM (QEMU: no backend)"
    return [at_most(name, median(times), 20e-3, milliseconds, beside)]


def _bare_migrations(directory, command):
    """Migrate a real QEMU with no backend."""
    listener, times = Listener(directory), []
    for _ in range(_QEMU_MIGRATIONS):
        with ExitStack() as stack:
            argv = _NO_BACKEND
            times.append(migrate_once(stack, listener, directory, command, argv, transfer=False)[1])
    return times
