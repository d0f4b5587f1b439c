"""The time that a guest has run, in nanoseconds.

QEMU: system/cpu-timers.c (cpu_get_clock)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qemu_sim.clock import Clock
    from qemu_sim.machine.runstate import RunState


class VMClock:
    """Stands while the guest is stopped; a guest that sleeps is not."""

    def __init__(self, clock: Clock, run_state: RunState) -> None:
        self._clock = clock
        self._run_state = run_state
        self._passed = 0
        self._since: int | None = None
        run_state.watch(self._moved)

    def now(self) -> int:
        """Return the guest's time."""
        return self._passed + (0 if self._since is None else self._clock.now() - self._since)

    def set(self, now: int) -> None:
        """Have a guest that is stopped go on from another time."""
        self._passed = now

    def _moved(self) -> None:
        if self._run_state.live and self._since is None:
            self._since = self._clock.now()
        elif not self._run_state.live and self._since is not None:
            self._passed, self._since = self.now(), None
