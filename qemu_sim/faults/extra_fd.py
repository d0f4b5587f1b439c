"""A descriptor comes that nothing announced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from qemu_sim.fds import Fd
from qemu_sim.hooks import Riders


class ExtraFd:
    """A second descriptor, of /dev/null, rides on the byte of the last device's last one."""

    TYPE = "extra-fd"

    @contextmanager
    def tamper(self, riders: Riders) -> Iterator[Riders]:
        """Add it."""
        with Fd(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)) as extra:
            list(riders.values())[-1][-1].append(extra)
            yield riders
