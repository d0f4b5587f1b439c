"""The object rng-builtin: QEMU's own random numbers.

QEMU: backends/rng-builtin.c
"""

from __future__ import annotations

from qemu_sim.backends.rng_backend import RngBackend


class RngBuiltin(RngBackend):
    """There is nothing to open."""

    TYPE = "rng-builtin"
