"""How long guest RAM takes to a destination, as arithmetic on elapsed time.

QEMU: migration/ram.c (ram_save_iterate, migration_bitmap_sync),
migration/migration.c (migration_iteration_run, migration_update_counters)

Nothing here reads a clock: `now`, in nanoseconds, is an argument, and never goes back. All
pages are dirty at first. A pass sends what was dirty at its start, with normal and zero
pages evenly mixed; what the guest writes meanwhile is found at its end, and is the next
pass. As soon as what is left and what was dirtied fit into the downtime limit the model
has converged: it sends no more until the guest is stopped, then the rest.

Between two moments (the end of a pass, convergence) everything is linear in time, and what
it depends on changes by `change` alone, so looking at it at any time alters nothing. With
V bytes of RAM, D dirtied and B sent a second, it converges after (V - B x limit) / (B - D).
"""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import NamedTuple

from qemu_sim.clock import MILLISECOND, SECOND
from qemu_sim.migration.throttle import Throttle, Throttling

PAGE = 4096
# Bytes on the wire for each kind of page: a header of 8; one byte more, or all of it, or
# the difference to what the cache of xbzrle has, whose size is a guess.
COST = {"zero": 8 + 1, "normal": 8 + PAGE, "missed": 8 + PAGE, "encoded": 8 + PAGE // 4}

_NEVER = 1 << 62
_MEASURED = 100 * MILLISECOND  # BUFFER_DELAY; before that the bandwidth is not known
_SHORTEST = MILLISECOND  # even for a pass of one page the whole bitmap is looked at
_ROUNDING = 4 * PAGE  # each kind of pages is counted in whole ones


class Conditions(NamedTuple):
    """What the model depends on. Rates are bytes a second."""

    bandwidth: float
    switchover_bandwidth: float  # what is expected to be there for the rest
    downtime_limit: float  # seconds
    dirty_rate: float  # of a guest that is not throttled; 0 while it stands still
    working_set: int  # bytes that the guest writes to
    stands: bool = False  # whether the guest does: what is sent then is sent in its downtime
    multifd: frozenset[str] = frozenset()  # the kinds of pages that travel in its channels
    xbzrle_cache: int = 0  # bytes; 0 without
    throttling: Throttling | None = None
    sync_period: int = _NEVER  # ns after which a pass that goes on looks for dirty pages


class Amounts(NamedTuple):
    """How far it is: pages of each kind, and bytes by when and where they were sent."""

    passes: int
    remaining: int  # bytes of RAM
    pages: Counter[str]  # by the names of COST; "missed" is normal and not in the cache
    sent: Counter[str]  # bytes: "precopy", "downtime", "postcopy", "multifd"
    pages_per_second: int

    @property
    def transferred(self) -> int:
        """All bytes sent."""
        return self.sent.total()


class RamModel:
    """The transfer of `total` bytes of RAM, of which `used` are not zero."""

    def __init__(self, total: int, used: int, conditions: Conditions, now: int) -> None:
        self.passes = 1
        self.converged = False
        self.finished = False
        self.found = 0  # bytes that were left when dirty pages were last looked for
        self.dirty_pages_rate = 0
        self.throttle = Throttle()
        self._conditions = conditions
        self._total_pages = total // PAGE
        self._begun = self._since = self._synced = now
        self._phase = "precopy"
        self._pages: Counter[str] = Counter()  # of passes that are over, as `_sent`
        self._sent: Counter[str] = Counter()
        self._speed = 0  # pages a second
        used_pages = min(ceil(used / PAGE), self._total_pages)
        self._pass = +Counter(normal=used_pages, zero=self._total_pages - used_pages)
        self._done = 0.0  # the part of the pass that was sent at `_since`
        self._dirty = 0.0  # bytes that were dirtied and not found, at `_since`
        self._period = _Period(now, 0, 0)

    def change(self, conditions: Conditions, now: int) -> None:
        """Go on under other conditions."""
        if conditions != self._conditions:
            self.settle(now)
            self._move(now)
            if conditions.stands != self._conditions.stands:
                self._bank()
            self._conditions = conditions

    def next_moment(self) -> int | None:
        """Return when something happens next under these conditions; None: never."""
        if not self._sending:
            return None
        if self._phase != "precopy":
            return self._end()
        return min(max(self._end(), self._earliest), self._convergence(), self._late_sync())

    def settle(self, now: int) -> None:
        """Go through all that happened up to `now`."""
        while (moment := self.next_moment()) is not None and moment <= now:
            self._move(moment)
            if self._phase == "precopy":
                self._sync(moment)
                self.converged = self.found <= self._limit + _ROUNDING
            else:
                self._bank()
                self.finished = True

    def stop(self, now: int, *, counts: bool) -> None:
        """The guest has stopped for good; find what it dirtied, as one more pass if it counts."""
        self.settle(now)
        self._move(now)
        self._sync(now, counts=counts)
        self.converged = True
        self._conditions = self._conditions._replace(dirty_rate=0.0)

    def send_rest(self, now: int, phase: str) -> None:
        """Send what is left: in "downtime", or in "postcopy" with the guest over there."""
        self._since, self._phase = now, phase

    def at(self, now: int) -> Amounts:
        """Return the amounts at `now`."""
        self.settle(now)
        pages = self._pages_of(self._done_at(now))
        return Amounts(
            passes=self.passes,
            remaining=(self._pass.total() - pages.total()) * PAGE,
            pages=self._pages + pages,
            sent=self._sent + self._bytes_of(pages),
            pages_per_second=self._pages_per_second if self._sending else self._speed,
        )

    # The pass under way.

    @property
    def _sending(self) -> bool:
        return not (self.finished or (self.converged and self._phase == "precopy"))

    @property
    def _wire(self) -> int:
        return sum(COST[kind] * count for kind, count in self._pass.items())

    @property
    def _pages_per_second(self) -> int:
        wire = self._wire
        return int(self._conditions.bandwidth * self._pass.total() / wire) if wire else self._speed

    @property
    def _dirtied_a_second(self) -> float:
        return self._conditions.dirty_rate * (100 - self.throttle.percentage) / 100

    @property
    def _limit(self) -> float:
        return self._conditions.switchover_bandwidth * self._conditions.downtime_limit

    def _done_at(self, now: int) -> float:
        if not self._sending or not self._wire:
            return self._done
        seconds = (now - self._since) / SECOND
        return min(self._done + seconds * self._conditions.bandwidth / self._wire, 1.0)

    def _pages_of(self, done: float) -> Counter[str]:
        return Counter({kind: int(count * done + 0.5) for kind, count in self._pass.items()})

    def _bytes_of(self, pages: Counter[str]) -> Counter[str]:
        found: Counter[str] = Counter()
        early = "downtime" if self._conditions.stands else "precopy"
        where = early if self._phase == "precopy" else self._phase
        for kind, count in pages.items():
            found["multifd" if kind in self._conditions.multifd else where] += COST[kind] * count
        return found

    def _move(self, now: int) -> None:
        """Take `now` as the point from which time is counted."""
        dirty = self._dirty + self._dirtied_a_second * (now - self._since) / SECOND
        self._dirty = min(dirty, max(self._conditions.working_set, self._dirty))
        self._done = self._done_at(now)
        self._since = now

    def _bank(self) -> None:
        """Note what was sent of the pass, and keep the rest of it."""
        self._speed = self._pages_per_second
        pages = self._pages_of(self._done)
        self._pages += pages
        self._sent += self._bytes_of(pages)
        self._pass = self._pass - pages
        self._done = 0.0

    def _sync(self, now: int, *, counts: bool = True) -> None:
        """Look for dirty pages: they and the rest are the next pass."""
        self._bank()
        fresh = min(int(self._dirty // PAGE), self._total_pages - self._pass.total())
        self._dirty %= PAGE
        encoded = int(fresh * self._cached)
        kind = "missed" if self._conditions.xbzrle_cache else "normal"
        self._pass += Counter({kind: fresh - encoded, "encoded": encoded})
        self.passes += counts
        self.found = self._pass.total() * PAGE
        self._synced = now
        self._judge(now, fresh)

    @property
    def _cached(self) -> float:
        """The part of what the guest writes to that fits into the cache."""
        return min(self._conditions.xbzrle_cache / max(self._conditions.working_set, PAGE), 1.0)

    def _judge(self, now: int, fresh: int) -> None:
        """Find out the dirty rate, and throttle the guest, once a second at most."""
        pages = self._period.pages + fresh
        if now - self._period.begun < SECOND:
            self._period = self._period._replace(pages=pages)
            return
        self.dirty_pages_rate = pages * SECOND // (now - self._period.begun)
        sent = self._sent.total()
        if self._conditions.throttling is not None:
            transferred = sent - self._period.sent
            self.throttle.judge(pages * PAGE, transferred, self._conditions.throttling)
        self._period = _Period(now, 0, sent)

    # Moments.

    @property
    def _earliest(self) -> int:
        """When a pass may end: one that has nothing to send may at once."""
        return self._synced + _SHORTEST if self._pass else self._synced

    def _end(self) -> int:
        """When all of the pass is sent."""
        seconds = (1 - self._done) * self._wire / self._conditions.bandwidth
        return self._since + ceil(seconds * SECOND)

    def _convergence(self) -> int:
        """When what is left and what is dirty fit into the limit, if the pass lasts till then.

        What is left falls; what is dirty grows up to the working set.
        """
        if not self._pass:
            return _NEVER
        conditions, grows = self._conditions, self._dirtied_a_second
        size = self._pass.total() * PAGE
        falls = conditions.bandwidth * size / self._wire
        excess = size * (1 - self._done) - self._limit
        full = max(conditions.working_set, self._dirty)
        seconds = (excess + full) / falls
        if falls > grows:
            seconds = min(seconds, (excess + self._dirty) / (falls - grows))
        when = self._since + ceil(max(seconds, 0.0) * SECOND)
        return max(when, self._begun + _MEASURED)

    def _late_sync(self) -> int:
        """When a pass that goes on looks for dirty pages; the first one never does."""
        if self.passes == 1:
            return _NEVER
        return self._synced + self._conditions.sync_period


class _Period(NamedTuple):
    """What the dirty rate is found out from: since when, pages dirtied, bytes sent before."""

    begun: int
    pages: int
    sent: int
