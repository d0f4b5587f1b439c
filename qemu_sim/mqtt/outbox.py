"""Events that wait for the broker: a bounded queue that tells what it lost."""

from __future__ import annotations

import collections
from typing import Any, NamedTuple


class Numbered(NamedTuple):
    """An event with its number."""

    sequence: int
    event: dict[str, Any]


class Outbox:
    """Takes events at once, whatever the broker does; the oldest ones make room."""

    def __init__(self, capacity: int) -> None:
        """Keep up to `capacity` events."""
        self._waiting: collections.deque[Numbered] = collections.deque()
        self._capacity = capacity
        self._count = 0
        self.dropped = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def put(self, event: dict[str, Any]) -> None:
        """Number an event and keep it."""
        self._count += 1
        self._waiting.append(Numbered(self._count, event))
        if len(self._waiting) > self._capacity:
            self._waiting.popleft()
            self.dropped += 1

    def first(self) -> Numbered:
        """Return the oldest one, which stays until `sent`."""
        return self._waiting[0]

    def sent(self, entry: Numbered) -> None:
        """Forget `entry`, unless it had to make room meanwhile: then it was not lost."""
        if self._waiting and self._waiting[0] is entry:
            self._waiting.popleft()
        else:
            self.dropped -= 1
