"""Tells a test program that nobody will come.

QEMU: tests/qtest/libqtest.c (qtest_connect)

A libqtest program listens for two connections, -qtest's and that of its monitor, and waits 50
seconds for each. A start that fails before it has made them makes and ends them, so that the
program sees at once what it would see of an emulator that dies.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise

from qemu_sim.qapi.opts import split


def hang_up(arguments: Sequence[str]) -> None:
    """Connect to who listens for this command line, and leave."""
    for path in _paths(pairwise(arguments)):
        with socket.socket(socket.AF_UNIX) as caller, suppress(OSError):  # nobody may be there
            caller.connect(path)


def _paths(options: Iterable[tuple[str, str]]) -> Iterator[str]:
    for option, text in options:
        if option == "-qtest" and text.startswith("unix:"):
            yield text.removeprefix("unix:").partition(",")[0]
        elif option == "-chardev":
            values = {pair.key: pair.value for pair in split(text, "backend")}
            if values.get("backend") == "socket" and values.get("server", "off") == "off":
                yield from filter(None, [values.get("path")])
