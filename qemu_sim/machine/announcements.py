"""NICs that tell the network where they are, some times in a row.

A client has them do it (announce-self), or they have come here by a migration.

QEMU: net/announce.c
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from qemu_sim.clock import MILLISECOND, Clock, Timer

if TYPE_CHECKING:
    from qemu_sim.migration.parameters import Parameters

_TIMING = ("initial", "max", "rounds", "step")


class Announcements:
    """Announcements under way, by the ID that a client gave; a new one ends the old.

    That of a migration has the ID None.
    """

    def __init__(self, announce: Callable[[list[str] | None], None], clock: Clock) -> None:
        """`announce(names)` lets the NICs of these names speak once, all where None."""
        self._announce = announce
        self._clock = clock
        self._timers: dict[str | None, Timer] = {}

    def start(self, id: str | None, names: list[str] | None, timing: Mapping[str, int]) -> None:
        """Announce `rounds` times. `timing` also has `initial`, `step` and `max`, in ms."""
        self._stop(id)
        if timing["rounds"]:
            self._speak(id, names, timing, timing["rounds"])

    def arrive(self, names: list[str], parameters: Parameters) -> None:
        """Announce the NICs of these names, if any, as the parameters of migration have it."""
        timing = {name: parameters[f"announce-{name}"] for name in _TIMING}
        if names:
            self.start(None, names, timing)

    def close(self) -> None:
        """End all of them."""
        for id in list(self._timers):
            self._stop(id)

    def _speak(
        self, id: str | None, names: list[str] | None, timing: Mapping[str, int], rounds: int
    ) -> None:
        self._timers.pop(id, None)
        self._announce(names)
        rounds -= 1
        if rounds <= 0:
            return
        grown = timing["initial"] + (timing["rounds"] - rounds - 1) * timing["step"]
        when = self._clock.now() + max(0, min(grown, timing["max"])) * MILLISECOND
        again = partial(self._speak, id, names, timing, rounds)
        self._timers[id] = self._clock.call_at(when, again)

    def _stop(self, id: str | None) -> None:
        timer = self._timers.pop(id, None)
        if timer is not None:
            timer.cancel()
