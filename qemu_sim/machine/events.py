"""Events of one machine, told to whoever subscribed.

QEMU: monitor/monitor.c (monitor_qapi_event_emit)

A subscriber is a callable that takes the event as on the wire; it must neither block
nor raise, because one slow listener may not delay a hand-over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qemu_sim.clock import Clock

Event = dict[str, Any]
Subscriber = Callable[[Event], None]


class Events:
    """Timestamps events when they happen and tells each subscriber, in order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell `subscriber` each event from now on; returns what ends that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def emit(self, name: str, data: dict[str, Any] | None = None) -> None:
        """Tell that `name` happened now."""
        seconds, nanoseconds = divmod(self._clock.wall(), 1_000_000_000)
        event: Event = {
            "timestamp": {"seconds": seconds, "microseconds": nanoseconds // 1000},
            "event": name,
        }
        if data is not None:
            event["data"] = data
        for subscriber in tuple(self._subscribers):
            subscriber(event)
