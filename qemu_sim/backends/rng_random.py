"""The object rng-random: random numbers from a file of the host.

QEMU: backends/rng-random.c
"""

from __future__ import annotations

import os
from typing import Any

from qemu_sim.backends.chardev import open_file
from qemu_sim.backends.object import Place
from qemu_sim.backends.rng_backend import RngBackend

_SOURCE = "/dev/urandom"


class RngRandom(RngBackend):
    """Holds its file open."""

    TYPE = "rng-random"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Open the file. Raises QMPError `Could not open '…': …`."""
        super().__init__(id, {"filename": _SOURCE, **options}, place)
        self._file = open_file(self.options["filename"], os.O_RDONLY | os.O_NONBLOCK)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
