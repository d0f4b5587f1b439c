"""The migration status and its legal moves, as data.

QEMU: migration/migration.c (migrate_set_state), qapi/migration.json (MigrationStatus)

One table for both sides, without COLO's status. `none` is what `query-migrate` shows as no
status at all. A status that the profile's QEMU lacks is passed through without being shown.
"""

from __future__ import annotations

from collections.abc import Callable

_ENDS = frozenset({"cancelling", "failing"})

TRANSITIONS: dict[str, frozenset[str]] = {
    "none": frozenset({"setup", "active", "failed"}),  # 7.2's destination skips setup
    "setup": frozenset({"active", "wait-unplug", "failed"}) | _ENDS,
    "wait-unplug": frozenset({"active"}) | _ENDS,
    "active": frozenset({"pre-switchover", "device", "completed", "failed"})
    | frozenset({"postcopy-device", "postcopy-active"})  # of a destination; of an older QEMU
    | _ENDS,
    "pre-switchover": frozenset({"device"}) | _ENDS,
    "device": frozenset({"postcopy-device", "completed", "failed"}) | _ENDS,
    "postcopy-device": frozenset({"postcopy-active", "failing", "failed"}),
    "postcopy-active": frozenset({"postcopy-paused", "completed", "failing", "failed"}),
    "postcopy-paused": frozenset({"postcopy-recover-setup", "postcopy-recover"}),
    "postcopy-recover-setup": frozenset({"postcopy-recover", "postcopy-paused"}),
    "postcopy-recover": frozenset({"postcopy-active", "postcopy-paused"}),
    "cancelling": frozenset({"cancelled"}),
    "failing": frozenset({"failed"}),
    "completed": frozenset({"setup", "failed"}),  # when the program of cpr-exec is none
    "cancelled": frozenset({"setup"}),
    "failed": frozenset({"setup"}),
}

AT_REST = frozenset({"none", "completed", "cancelled", "failed"})
UNDER_WAY = TRANSITIONS.keys() - AT_REST


class Status:
    """The status of one side of one machine's migrations."""

    __slots__ = ("_known", "_moved", "value")

    def __init__(self, moved: Callable[[str], None], known: Callable[[], frozenset[str]]) -> None:
        """`moved(status)` is told each move; `known` are the statuses the QEMU version has."""
        self.value = "none"
        self._moved = moved
        self._known = known

    @property
    def under_way(self) -> bool:
        """Whether a migration has started and not ended."""
        return self.value in UNDER_WAY

    @property
    def in_postcopy(self) -> bool:
        """Whether the destination may run already."""
        return self.value.startswith("postcopy-")

    def knows(self, value: str) -> bool:
        """Whether the QEMU version has that status."""
        return value in self._known()

    def move(self, value: str) -> None:
        """Change the status. An illegal move is our bug, hence an assertion."""
        assert value in TRANSITIONS[self.value], f"migration status {self.value} -> {value}"
        self.value = value
        if self.knows(value):
            self._moved(value)
