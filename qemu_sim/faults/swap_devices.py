"""Descriptors of two devices are mixed up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qemu_sim.errors import MigrationError
from qemu_sim.hooks import Riders


class SwapDevices:
    """The first descriptors of the first two devices change places."""

    TYPE = "swap-devices"

    @contextmanager
    def tamper(self, riders: Riders) -> Iterator[Riders]:
        """Exchange them. Raises MigrationError if only one device's descriptors travel."""
        if len(riders) < 2:  # noqa: PLR2004 - it is two that swap
            raise MigrationError("fault 'swap-devices' needs descriptors of two devices")
        first, second, *_ = riders.values()
        first[0], second[0] = second[0], first[0]
        yield riders
