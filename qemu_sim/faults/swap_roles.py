"""Descriptors of one device are mixed up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qemu_sim.hooks import Riders


class SwapRoles:
    """The first device's descriptors come in the reverse order."""

    TYPE = "swap-roles"

    @contextmanager
    def tamper(self, riders: Riders) -> Iterator[Riders]:
        """Reverse them."""
        next(iter(riders.values())).reverse()
        yield riders
