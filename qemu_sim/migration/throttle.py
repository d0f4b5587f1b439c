"""Auto-converge: a guest that dirties memory too fast gets less of its CPUs.

QEMU: migration/ram.c (migration_trigger_throttle, mig_throttle_guest_down),
migration/cpu-throttle.c
"""

from __future__ import annotations

from typing import NamedTuple

_MOST = 99  # CPU_THROTTLE_PCT_MAX


class Throttling(NamedTuple):
    """The migration parameters of auto-converge, in percent."""

    initial: int
    increment: int
    maximum: int
    threshold: int
    tailslow: bool


class Throttle:
    """How much is taken from the guest, and how often it was found too fast."""

    def __init__(self) -> None:
        self.percentage = 0
        self._high = 0

    def judge(self, dirtied: float, transferred: float, rules: Throttling) -> None:
        """Look at the bytes of one period; every second time that is too bad, take more."""
        limit = transferred * rules.threshold / 100
        if dirtied <= limit:
            return
        self._high += 1
        if self._high < 2:  # noqa: PLR2004 - once may be chance
            return
        self._high = 0
        self.percentage = min(self._next(limit / dirtied, rules), _MOST)

    def _next(self, fit: float, rules: Throttling) -> int:
        """`fit` is the share of its present work at which the guest would be slow enough."""
        now = self.percentage
        if not now:
            return rules.initial
        increment = rules.increment
        if rules.tailslow:
            left = 100 - now
            increment = min(left - int(left * fit), increment)
        return min(now + increment, rules.maximum)
