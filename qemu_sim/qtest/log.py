"""What -qtest-log writes: each command and each answer, with the time since the start.

QEMU: system/qtest.c (qtest_event)
"""

from __future__ import annotations

import sys
import time
from typing import IO

from qemu_sim.errors import QMPError


class Log:
    """A log on stderr, in a file, or nowhere."""

    def __init__(self, path: str | None) -> None:
        """`path` is a file to begin afresh, "none", or None for stderr. Raises QMPError."""
        self._start: float | None = None
        self._file: IO[str] | None = None
        if path is None:
            self._file = sys.stderr
        elif path != "none":
            try:
                self._file = open(path, "w", encoding="utf-8", buffering=1)  # noqa: SIM115  closed by close()
            except OSError as error:
                raise QMPError(f"Could not open '{path}': {error.strerror}") from None

    def opened(self) -> None:
        """Note that the test program is there; times count from now."""
        self._start = None
        self._write("I", "OPENED")

    def closed(self) -> None:
        """Note that the test program has left."""
        self._write("I", "CLOSED")

    def received(self, line: str) -> None:
        """Note a command."""
        self._write("R", line)

    def sent(self, line: str) -> None:
        """Note an answer."""
        self._write("S", line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None and self._file is not sys.stderr:
            self._file.close()
        self._file = None

    def _write(self, kind: str, text: str) -> None:
        if self._file is None:
            return
        now = time.monotonic()
        sign = " " if self._start is None else " +"
        self._start = now if self._start is None else self._start
        self._file.write(f"[{kind}{sign}{now - self._start:f}] {text}\n")
