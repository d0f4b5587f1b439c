"""Writes what passes on monitors and migration channels to a file, for whoever debugs a client.

One JSON object a line: `t`, monotonic seconds; `direction`, "in" or "out"; `monitor`, its
ID, or `channel`, "migration"; `object`, the message, or `{"syntax-error": text}`; `fds`,
the number of descriptors that came with it.
"""

from __future__ import annotations

import time
from typing import Any

from qemu_sim.wire import json_text


class WireLog:
    """An open log; call it with a message. Lines are complete when the call returns."""

    def __init__(self, path: str) -> None:
        """Append to the file at `path`. Raises OSError."""
        self._file = open(path, "a", encoding="ascii", buffering=1)  # noqa: SIM115  closed by close()

    def __call__(self, direction: str, monitor: str, message: Any, fds: int) -> None:
        """Write a QMP message."""
        self._write(direction, "monitor", monitor, message, fds)

    def migration(self, direction: str, what: dict[str, Any], fds: int) -> None:
        """Write what passed on a migration channel."""
        self._write(direction, "channel", "migration", what, fds)

    def _write(self, direction: str, kind: str, name: str, message: Any, fds: int) -> None:
        line = {
            "t": time.monotonic(),
            "direction": direction,
            kind: name,
            "object": message,
            "fds": fds,
        }
        self._file.write(json_text.text(line) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
