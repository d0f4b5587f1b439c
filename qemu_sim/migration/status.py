"""The migration status and its legal moves, as data.

QEMU: migration/migration.c (migrate_set_state), qapi/migration.json (MigrationStatus)

One table for both sides. `none` is what `query-migrate` shows as no status at all. A
status that the profile's QEMU does not know is passed through without being shown.
"""

from __future__ import annotations

from collections.abc import Callable

TRANSITIONS: dict[str, frozenset[str]] = {
    "none": frozenset({"setup"}),
    "setup": frozenset({"active", "cancelling", "failing", "failed"}),
    "active": frozenset({"device", "completed", "cancelling", "failing", "failed"}),
    "device": frozenset({"completed", "cancelling", "failing", "failed"}),
    "cancelling": frozenset({"cancelled"}),
    "failing": frozenset({"failed"}),
    "completed": frozenset({"setup"}),
    "cancelled": frozenset({"setup"}),
    "failed": frozenset({"setup"}),
}

UNDER_WAY = frozenset({"setup", "active", "device", "cancelling", "failing"})


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

    def move(self, value: str) -> None:
        """Change the status. An illegal move is our bug, hence an assertion."""
        assert value in TRANSITIONS[self.value], f"migration status {self.value} -> {value}"
        self.value = value
        if value in self._known():
            self._moved(value)
