"""How far an outgoing migration is, as `query-migrate` tells it.

QEMU: migration/migration.c (populate_time_info, populate_ram_info), qapi/migration.json

Times are milliseconds, amounts bytes. The guest dirties only what its disk driver uses,
so after one pass next to nothing remains.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qemu_sim.migration.outgoing import Outgoing

_PAGE = 4096
_DEFAULT_DOWNTIME_MS = 300  # migrate-set-parameters downtime-limit


class Progress:
    """Times of one outgoing migration; amounts come from it while it is under way."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._active: float | None = None
        self._stopped: float | None = None
        self._ended: float | None = None
        self._ram_bytes = 0
        self._sent_bytes = 0
        self._passes = 0

    def activate(self) -> None:
        """The set-up is over."""
        self._active = time.monotonic()

    def stop(self) -> None:
        """The guest has stopped."""
        self._stopped = time.monotonic()

    def finish(self, outgoing: Outgoing) -> None:
        """It ended; keep the amounts."""
        self._ended = time.monotonic()
        self._note(outgoing)

    def to_qapi(self, status: str, ram_size: int, outgoing: Outgoing | None) -> dict[str, Any]:
        """Return the members of MigrationInfo that fit `status`."""
        if outgoing is not None:
            self._note(outgoing)
        if status in ("active", "device"):
            remaining = max(ram_size - self._ram_bytes, 0) if self._stopped is None else 0
            return {
                "total-time": _ms(self._begun, None),
                "expected-downtime": _DEFAULT_DOWNTIME_MS,
                "setup-time": _ms(self._begun, self._active),
                "ram": self._ram(ram_size, remaining),
                "remaining": remaining,
            }
        if status == "completed":
            return {
                "total-time": _ms(self._begun, self._ended),
                "downtime": _ms(self._stopped, self._ended),
                "setup-time": _ms(self._begun, self._active),
                "ram": self._ram(ram_size, 0),
            }
        return {}

    def _note(self, outgoing: Outgoing) -> None:
        self._ram_bytes = outgoing.ram_done
        self._sent_bytes = outgoing.sent_bytes
        self._passes = outgoing.passes

    def _ram(self, total: int, remaining: int) -> dict[str, Any]:
        seconds = max((self._ended or time.monotonic()) - self._begun, 1e-6)
        pages = self._ram_bytes // _PAGE
        return {
            "total": total,
            "postcopy-requests": 0,
            "dirty-sync-count": self._passes,
            "multifd-bytes": 0,
            "pages-per-second": int(pages / seconds),
            "downtime-bytes": 0,
            "page-size": _PAGE,
            "remaining": remaining,
            "postcopy-bytes": 0,
            "mbps": self._sent_bytes * 8 / 1e6 / seconds,
            "transferred": self._sent_bytes,
            "dirty-sync-missed-zero-copy": 0,
            "precopy-bytes": self._ram_bytes,
            "duplicate": total // _PAGE - pages if remaining == 0 else 0,
            "dirty-pages-rate": 0,
            "skipped": 0,
            "normal-bytes": pages * _PAGE,
            "normal": pages,
        }


def _ms(start: float | None, end: float | None) -> int:
    if start is None:
        return 0
    return int(((time.monotonic() if end is None else end) - start) * 1000)
