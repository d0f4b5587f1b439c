"""How far an outgoing migration is, as `query-migrate` tells it.

QEMU: migration/migration.c (populate_time_info, populate_ram_info), qapi/migration.json

Times are milliseconds, amounts bytes. What is told in which status is measured on 7.2 and
11.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.clock import MILLISECOND
from qemu_sim.migration.ram_model import COST, PAGE

if TYPE_CHECKING:
    from qemu_sim.migration.outgoing import Outgoing
    from qemu_sim.migration.ram_model import Amounts
    from qemu_sim.migration.ram_transfer import RamTransfer, Timed

_TOLD = frozenset(
    {"active", "pre-switchover", "device", "cancelling", "completed"}
    | {"postcopy-device", "postcopy-active", "postcopy-paused"}
    | {"postcopy-recover-setup", "postcopy-recover"}
)
_NEWER = (11, 0)  # than 7.2: the first to tell `remaining` beside `ram`, the last without `skipped`


class Progress:
    """Times of one outgoing migration; amounts come from its RAM model."""

    def __init__(self, machine: Timed) -> None:
        """It begins now."""
        self._machine = machine
        self._begun = machine.clock.now()
        self._active: int | None = None
        self._stopped: int | None = None
        self._ended: int | None = None
        self._downtime_limit = machine.parameters["downtime-limit"]
        self._outgoing: Outgoing | None = None
        self._transfer: RamTransfer | None = None
        self._other_bytes = 0

    def activate(self, outgoing: Outgoing) -> None:
        """The set-up is over; `outgoing` knows how far it is."""
        self._active = self._machine.clock.now()
        self._outgoing, self._transfer = outgoing, outgoing.transfer

    def change(self) -> None:
        """A client has set something, or the guest has started or stopped."""
        if self._outgoing is not None:
            self._outgoing.transfer.change()

    def poll(self) -> None:
        """A client is about to ask."""
        if self._outgoing is not None:
            self._outgoing.transfer.poll()

    @property
    def throttle(self) -> int:
        """How much of its time is taken from the guest now, in percent."""
        return 0 if self._outgoing is None else self._outgoing.transfer.throttle

    def stop(self) -> None:
        """The guest has stopped."""
        self._stopped = self._machine.clock.now()

    def finish(self) -> None:
        """It ended; keep the amounts."""
        self._ended = self._machine.clock.now()
        self._other_bytes, self._outgoing = self._bytes_beside_ram, None

    def to_qapi(self, status: str) -> dict[str, Any]:
        """Return the members of MigrationInfo that fit `status`."""
        transfer = self._transfer
        if status not in _TOLD or transfer is None:
            return {}
        amounts = transfer.amounts()
        info: dict[str, Any] = {
            "total-time": self._since(self._begun, self._ended),
            "setup-time": self._since(self._begun, self._active),
            "ram": self._ram(transfer, amounts, status),
        }
        if status == "completed" or status.startswith("postcopy"):
            info["downtime"] = self._downtime(transfer)
        else:
            info["expected-downtime"] = self._expected_downtime(transfer, amounts)
        if status != "completed" and self._is_newer:
            was_left = transfer.phase != "precopy"
            info["remaining"] = transfer.model.found if was_left else amounts.remaining
        return info | self._features(transfer, amounts, status)

    @property
    def _bytes_beside_ram(self) -> int:
        return self._other_bytes if self._outgoing is None else self._outgoing.other_bytes

    @property
    def _is_newer(self) -> bool:
        return self._machine.version >= _NEWER

    def _ram(self, transfer: RamTransfer, amounts: Amounts, status: str) -> dict[str, Any]:
        normal = amounts.pages["normal"] + amounts.pages["missed"]
        transferred = amounts.transferred + self._bytes_beside_ram
        found = {
            "total": transfer.total,
            "postcopy-requests": 0,
            "dirty-sync-count": amounts.passes,
            "multifd-bytes": amounts.sent["multifd"],
            "pages-per-second": amounts.pages_per_second,
            "downtime-bytes": amounts.sent["downtime"],
            "page-size": PAGE,
            "remaining": amounts.remaining,
            "postcopy-bytes": amounts.sent["postcopy"],
            "mbps": self._mbps(transfer, transferred, status),
            "transferred": transferred,
            "dirty-sync-missed-zero-copy": 0,
            "precopy-bytes": amounts.sent["precopy"],
            "duplicate": amounts.pages["zero"],
            "dirty-pages-rate": 0 if status == "completed" else transfer.model.dirty_pages_rate,
            "normal-bytes": normal * PAGE,
            "normal": normal,
        }
        return found if self._is_newer else {**found, "skipped": 0}

    def _features(self, transfer: RamTransfer, amounts: Amounts, status: str) -> dict[str, Any]:
        """Return what is told of capabilities that are on."""
        found: dict[str, Any] = {}
        if self._machine.capabilities.enabled("xbzrle"):
            found["xbzrle-cache"] = self._xbzrle(amounts)
        if self._machine.capabilities.enabled("compress"):  # no page is
            names = ("pages", "busy", "busy-rate", "compressed-size", "compression-rate")
            found["compression"] = dict.fromkeys(names, 0)
        if transfer.model.throttle.percentage and status != "completed":
            found["cpu-throttle-percentage"] = transfer.model.throttle.percentage
        return found

    def _xbzrle(self, amounts: Amounts) -> dict[str, Any]:
        encoded, missed = amounts.pages["encoded"], amounts.pages["missed"]
        size = encoded * COST["encoded"]
        return {
            "cache-size": self._machine.parameters["xbzrle-cache-size"],
            "bytes": size,
            "pages": encoded,
            "cache-miss": missed,
            "cache-miss-rate": missed / (encoded + missed) if encoded + missed else 0,
            "encoding-rate": encoded * PAGE / size if size else 0,
            "overflow": 0,
        }

    def _mbps(self, transfer: RamTransfer, transferred: int, status: str) -> float:
        """Return the rate now, in the end that of the whole; in 10^6 bits a second."""
        if status != "completed":
            return transfer.conditions.bandwidth * 8 / 1e6
        spent = self._since(self._active, self._ended)
        return transferred * 8 / spent / 1000 if spent else 0

    def _expected_downtime(self, transfer: RamTransfer, amounts: Amounts) -> int:
        """Return ms: the limit at first, then what is left by how fast it would go."""
        known = amounts.passes > 1 if self._is_newer else transfer.model.dirty_pages_rate > 0
        if not known:
            return int(self._downtime_limit)
        left = transfer.model.found if self._is_newer else amounts.remaining
        return int(left / transfer.conditions.switchover_bandwidth * 1000)

    def _downtime(self, transfer: RamTransfer) -> int:
        """Return ms; in postcopy it is over when the destination runs."""
        in_postcopy = transfer.phase == "postcopy"
        return self._since(self._stopped, transfer.rest_begun if in_postcopy else self._ended)

    def _since(self, start: int | None, end: int | None) -> int:
        if start is None:
            return 0
        return ((self._machine.clock.now() if end is None else end) - start) // MILLISECOND
