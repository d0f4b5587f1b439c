"""In-band commands take turns: one at a time over all monitors of a machine.

QEMU: monitor/qmp.c (monitor_qmp_dispatcher_co)

Only a command that waits for something makes the others wait; the rest come and go
within one step of the event loop.
"""

from __future__ import annotations

from collections.abc import Callable


class Turns:
    """Whose turn it is; monitors that must wait are served in the order in which they came."""

    def __init__(self) -> None:
        self.free = True
        self._waiting: dict[Callable[[], None], None] = {}

    def take(self) -> None:
        """Begin a command that will wait."""
        assert self.free
        self.free = False

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call `go_on()` once when the turn is free."""
        self._waiting[go_on] = None

    def give_back(self) -> None:
        """End the command, and let the others go on until one of them takes the turn."""
        self.free = True
        while self.free and self._waiting:
            go_on = next(iter(self._waiting))
            del self._waiting[go_on]
            go_on()
