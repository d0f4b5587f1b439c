"""A descriptor of the wrong kind comes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from qemu_sim.fds import Fd
from qemu_sim.hooks import Riders


class WrongFd:
    """A pipe comes in place of the first device's first descriptor."""

    TYPE = "wrong-fd"

    @contextmanager
    def tamper(self, riders: Riders) -> Iterator[Riders]:
        """Put the pipe in its place."""
        reader, writer = (Fd(number) for number in os.pipe2(os.O_CLOEXEC))
        with reader, writer:
            next(iter(riders.values()))[0][:] = [reader]
            yield riders
