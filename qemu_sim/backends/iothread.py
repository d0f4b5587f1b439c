"""The object iothread: a real thread, which has nothing to do here.

QEMU: iothread.c, event-loop-base.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.object import Object, Place
from qemu_sim.backends.sleeper import Sleeper
from qemu_sim.errors import QMPError

_MOST = (1 << 63) - 1
_DEFAULT_POOL = 64  # include/block/aio.h (THREAD_POOL_MAX_THREADS_DEFAULT)


class IOThread(Object):
    """A thread that devices can name; `options` tune what would run in it."""

    TYPE = "iothread"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        super().__init__(id, options, place)
        _check(options)
        self._thread = Sleeper()

    def set(self, name: str, value: Any) -> None:
        """Tune what would run in the thread. Raises QMPError in QEMU's words."""
        _check(changed := {**self.options, name: value})
        self.options = changed

    @property
    def thread_id(self) -> int:
        """The kernel's ID of the thread."""
        return self._thread.thread_id

    def close(self) -> None:
        """End the thread."""
        self._thread.close()


def _check(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value < 0:
            raise QMPError(f"{name} value must be in range [0, {_MOST}]")
    most = options.get("thread-pool-max", _DEFAULT_POOL)
    if most < 1 or options.get("thread-pool-min", 0) > most:
        raise QMPError("bad thread-pool-min/thread-pool-max values")
