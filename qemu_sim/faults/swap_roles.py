"""Descriptors of one device are mixed up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qemu_sim.errors import MigrationError
from qemu_sim.hooks import Riders


class SwapRoles:
    """The first device's descriptors come in the reverse order."""

    TYPE = "swap-roles"

    @contextmanager
    def tamper(self, riders: Riders) -> Iterator[Riders]:
        """Reverse them. Raises MigrationError where that changes nothing."""
        name, descriptors = next(iter(riders.items()))
        if len(descriptors) == 1:
            raise MigrationError(f"fault 'swap-roles' needs two descriptors, '{name}' has one")
        descriptors.reverse()
        yield riders
