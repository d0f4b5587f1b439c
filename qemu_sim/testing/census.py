"""What this process has open, before and after a test.

Counted is what machines and their clients deal in: sockets, TAPs, guest memory, eventfds.
Files and pipes are other people's.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import NamedTuple

from qemu_sim.fds import open_descriptors

_KINDS = ("socket:", "/dev/net/tun", "/memfd:", "anon_inode:[eventfd]", "anon_inode:[pidfd]")


class Census(NamedTuple):
    """Descriptors by number, with what each refers to."""

    descriptors: frozenset[tuple[int, str]]

    @classmethod
    def take(cls) -> Census:
        """Count now."""
        found = open_descriptors().items()
        return cls(frozenset(item for item in found if item[1].startswith(_KINDS)))

    def complaints(self) -> list[str]:
        """Return a line for each descriptor that is there now and was not then."""
        if not Census.take().descriptors - self.descriptors:
            return []
        gc.collect()  # a descriptor of garbage warns by itself
        new = Census.take().descriptors - self.descriptors
        own = _of_event_loops()
        return [
            f"descriptor left behind: {number} {target}"
            for number, target in sorted(new)
            if number not in own
        ]


def _of_event_loops() -> set[int]:
    """Return the sockets with which open event loops wake themselves.

    A loop of session scope may have come to be during the test, and stays.
    """
    loops = [found for found in gc.get_objects() if isinstance(found, asyncio.BaseEventLoop)]
    own: set[int] = set()
    for loop in loops:
        for value in vars(loop).values():
            if isinstance(value, socket.socket):
                own.add(value.fileno())
    return own
