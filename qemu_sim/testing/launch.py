"""How a machine is run: `start` it, `stop` it, and say what was wrong with it.

Two ways, one shape: in_process.py and daemon.py.
"""

from __future__ import annotations

from typing import Protocol

STOP_TIMEOUT = 10.0  # seconds that a machine has to end in order


class StartFailed(Exception):
    """The machine did not start; the text is what it said."""


class Launch(Protocol):
    """One machine's life, on the event loop of the machines."""

    @property
    def pid(self) -> int:
        """The process it runs in."""

    @property
    def was_killed(self) -> bool:
        """Whether a signal has ended it."""

    async def start(self, arguments: list[str]) -> None:
        """Return once it is a process or a running machine. Raises StartFailed."""

    async def wait(self) -> int:
        """Return its exit status, negative for a signal, once it has ended by itself."""

    async def stop(self) -> None:
        """End it in order; nothing happens when it has ended."""

    def check_mortal(self) -> None:
        """Raise RuntimeError if it cannot be killed."""

    def kill(self) -> None:
        """Send SIGKILL; check_mortal comes first."""

    def printed(self) -> str:
        """Return its standard error so far."""

    def complaints(self) -> list[str]:
        """Return a text for each bug it has shown."""
