"""Objects that a random number generator takes its numbers from.

QEMU: backends/rng.c

No guest asks for any here.
"""

from __future__ import annotations

from qemu_sim.backends.object import Object


class RngBackend(Object):
    """A source of random numbers. QEMU lets a client delete it under its device."""

    KIND = "rng-backend"
