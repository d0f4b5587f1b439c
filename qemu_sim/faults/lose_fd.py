"""A descriptor that was announced does not come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qemu_sim.hooks import Riders


class LoseFd:
    """The last descriptor of the first device stays behind; its byte is sent."""

    TYPE = "lose-fd"

    @contextmanager
    def tamper(self, riders: Riders) -> Iterator[Riders]:
        """Leave it out."""
        next(iter(riders.values()))[-1].clear()
        yield riders
