"""Log records on stderr, as QEMU prints what it has to say.

QEMU: util/error-report.c
"""

from __future__ import annotations

import logging
from collections.abc import Callable


class LogHandler(logging.Handler):
    """Says each record through `say`, which puts the program's name in front."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Say one record; a bug comes with its traceback."""
        text = self.format(record)
        self._say(f"warning: {text}" if record.levelno == logging.WARNING else text)
