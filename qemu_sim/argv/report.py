"""Messages on stderr as QEMU words them: program, place, text.

QEMU: util/error-report.c
"""

from __future__ import annotations

import os
import sys
import time


class Report:
    """Where complaints go. -msg sets `timestamps` and `guest_name`.

    `files` are the configuration files read: a place in one follows the program without a gap.
    """

    __slots__ = ("files", "guest_name", "program", "said", "timestamps")

    def __init__(self, argv0: str) -> None:
        """Messages begin with the last part of `argv0`, the name this was called by."""
        self.program = os.path.basename(argv0)
        self.timestamps = False
        self.guest_name: str | None = None
        self.said: set[str] = set()
        self.files: set[str] = set()

    def line(self, text: str) -> str:
        """Return `text` as one message, complete with its line end."""
        gap = "" if any(text.startswith(f"{path}:") for path in self.files) else " "
        return f"{self._timestamp()}{self._guest()}{self.program}:{gap}{text}\n"

    def say(self, text: str) -> None:
        """Write one message."""
        sys.stderr.write(self.line(text))
        sys.stderr.flush()

    def warn(self, source: str, text: str) -> None:
        """Write a warning about the option `source`."""
        self.say(f"{source}: warning: {text}")

    def warn_once(self, source: str, text: str) -> None:
        """Write a warning that one process gives only once."""
        if text not in self.said:
            self.said.add(text)
            self.warn(source, text)

    def _timestamp(self) -> str:
        if not self.timestamps:
            return ""
        nanoseconds = time.time_ns()
        seconds, rest = divmod(nanoseconds, 1_000_000_000)
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return f"{clock}.{rest // 1000:06d}Z "

    def _guest(self) -> str:
        return f"{self.guest_name} " if self.guest_name else ""
