"""The object iothread: a real thread, which has nothing to do here.

QEMU: iothread.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.event_loop import EventLoop
from qemu_sim.backends.object import Place
from qemu_sim.backends.sleeper import Sleeper


class IOThread(EventLoop):
    """A thread that devices can name."""

    TYPE = "iothread"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        super().__init__(id, options, place)
        self._thread = Sleeper()

    @property
    def thread_id(self) -> int:
        """The kernel's ID of the thread."""
        return self._thread.thread_id

    def close(self) -> None:
        """End the thread."""
        self._thread.close()
