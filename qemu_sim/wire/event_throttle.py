"""Holds back events that come too often: one a second of each kind.

QEMU: monitor/monitor.c (monitor_qapi_event_conf, monitor_qapi_event_queue_no_reenter)

The first goes out at once. Those that come within a second of it replace each other,
and the last is sent, with the time at which it happened, when the second is over.
"""

from __future__ import annotations

from typing import Any

from qemu_sim.wire.json_stream import Version

Event = dict[str, Any]

PERIOD = 1_000_000_000  # nanoseconds
# The member of `data` that tells two sources of an event apart, if there is one.
_LIMITED = {
    "RTC_CHANGE": None,
    "WATCHDOG": None,
    "BALLOON_CHANGE": None,
    "QUORUM_REPORT_BAD": "node-name",
    "QUORUM_FAILURE": None,
    "VSERPORT_CHANGE": "id",
    "MEMORY_DEVICE_SIZE_CHANGE": "qom-path",
    "BLOCK_IO_ERROR": "qom-path",
    "HV_BALLOON_STATUS_REPORT": None,
}
# 7.2 does not limit these two; which version began is not known here.
_LIMITED_LATER = frozenset(("BLOCK_IO_ERROR", "HV_BALLOON_STATUS_REPORT"))
_LATER = (8,)

_Key = tuple[str, Any]


class EventThrottle:
    """What was sent within the last second, and what waits. `now` is in nanoseconds."""

    def __init__(self, version: Version) -> None:
        """Begin with nothing sent; `version` decides which kinds are limited."""
        self._limited = {
            name: member
            for name, member in _LIMITED.items()
            if version >= _LATER or name not in _LIMITED_LATER
        }
        # When each was sent last and may be again, and what waits for that.
        self._quiet: dict[_Key, tuple[int, Event | None]] = {}

    @property
    def deadline(self) -> int | None:
        """When to call `due` next; None while nothing waits."""
        waiting = (until for until, event in self._quiet.values() if event is not None)
        return min(waiting, default=None)

    def admit(self, event: Event, now: int) -> bool:
        """Whether `event` goes out now; otherwise `due` returns it, or its successor."""
        name = event["event"]
        if name not in self._limited:
            return True
        member = self._limited[name]
        key = name, event["data"].get(member) if member else None
        until, waiting = self._quiet.get(key, (now, None))
        if waiting is None and until <= now:
            self._quiet[key] = now + PERIOD, None
            return True
        self._quiet[key] = until, event
        return False

    def due(self, now: int) -> list[Event]:
        """Return the events whose second is over."""
        ready = []
        for key, (until, event) in self._quiet.items():
            if event is not None and until <= now:
                ready.append(event)
                self._quiet[key] = now + PERIOD, None
        return ready
