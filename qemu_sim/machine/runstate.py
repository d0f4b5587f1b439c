"""The run state and its legal moves.

QEMU: system/runstate.c (runstate_transitions_def), qapi/run-state.json

A state changes here and nowhere else. The table holds the states that a machine of
ours can reach.
"""

from __future__ import annotations

from collections.abc import Callable

BROKEN = frozenset({"io-error", "watchdog", "internal-error", "guest-panicked"})
"""Something went wrong with the guest: a machine of ours has it from a real QEMU alone."""

TRANSITIONS: dict[str, frozenset[str]] = {
    "prelaunch": frozenset({"running", "finish-migrate", "inmigrate", "paused"}),
    "inmigrate": frozenset(
        {"running", "suspended", "paused", "prelaunch", "postmigrate", "shutdown", "finish-migrate"}
        | BROKEN
    ),
    "running": frozenset(
        {"paused", "finish-migrate", "shutdown", "suspended", "save-vm", "restore-vm"}
    ),
    "suspended": frozenset(
        {"running", "paused", "finish-migrate", "shutdown", "prelaunch", "save-vm", "restore-vm"}
    ),
    "save-vm": frozenset({"running", "suspended", "prelaunch", "paused"}),
    "restore-vm": frozenset({"running", "suspended", "prelaunch", "finish-migrate"}),
    "paused": frozenset({"running", "suspended", "finish-migrate", "postmigrate", "prelaunch"}),
    "finish-migrate": frozenset(
        {"running", "suspended", "paused", "postmigrate", "prelaunch", "shutdown", "restore-vm"}
        | BROKEN
    ),
    "postmigrate": frozenset({"running", "suspended", "finish-migrate", "prelaunch"}),
    "shutdown": frozenset({"paused", "finish-migrate", "prelaunch"}),
    "internal-error": frozenset({"paused", "finish-migrate", "prelaunch"}),
    "io-error": frozenset({"running", "finish-migrate", "prelaunch"}),
    "watchdog": frozenset({"running", "finish-migrate", "prelaunch"}),
    "guest-panicked": frozenset({"running", "finish-migrate", "prelaunch"}),
}

LIVE = frozenset({"running", "suspended"})
"""The guest is not stopped: it runs, or it sleeps."""


class RunState:
    """The run state of one machine, changed only along TRANSITIONS."""

    __slots__ = ("_watchers", "value")

    def __init__(self, value: str) -> None:
        """Start in `value`: "prelaunch", or "inmigrate" with -incoming."""
        self.value = value
        self._watchers: list[Callable[[], None]] = []

    def watch(self, moved: Callable[[], None]) -> None:
        """Call `moved()` after each change; it must neither block nor raise."""
        self._watchers.append(moved)

    @property
    def running(self) -> bool:
        """Whether the guest runs."""
        return self.value == "running"

    @property
    def live(self) -> bool:
        """Whether the guest is not stopped."""
        return self.value in LIVE

    def move(self, value: str) -> None:
        """Change the state. An illegal move is our bug, hence an assertion."""
        if value != self.value:
            assert value in TRANSITIONS[self.value], f"run state {self.value} -> {value}"
            self.value = value
            for moved in self._watchers:
                moved()
