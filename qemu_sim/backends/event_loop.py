"""An object that tunes an event loop, here one with nothing to do.

QEMU: event-loop-base.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.object import Object, Place
from qemu_sim.errors import QMPError

_MOST = (1 << 63) - 1
_DEFAULT_POOL = 64  # include/block/aio.h (THREAD_POOL_MAX_THREADS_DEFAULT)


class EventLoop(Object):
    """Numbers that must be in range; `options` tune what would run."""

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Raises QMPError in QEMU's words."""
        super().__init__(id, options, place)
        _check(options)

    def set(self, name: str, value: Any) -> None:
        """Tune it anew. Raises QMPError in QEMU's words."""
        _check(changed := {**self.options, name: value})
        self.options = changed


def _check(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value < 0:
            raise QMPError(f"{name} value must be in range [0, {_MOST}]")
    most = options.get("thread-pool-max", _DEFAULT_POOL)
    if most < 1 or options.get("thread-pool-min", 0) > most:
        raise QMPError("bad thread-pool-min/thread-pool-max values")
