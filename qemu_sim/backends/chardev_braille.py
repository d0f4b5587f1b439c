"""Chardev `braille`: a braille display, reached through BRLTTY, which is not simulated.

QEMU: chardev/baum.c
"""

from __future__ import annotations

import os

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError

_BRLTTY = "/var/lib/BrlAPI/0"  # where its server listens


class ChardevBraille(Chardev):
    """It opens nowhere: where there is a server, that is said."""

    TYPE = "braille"

    async def open(self) -> None:
        """Fail as QEMU does on a host without BRLTTY. Raises QMPError."""
        raise QMPError(_obstacle())


def _obstacle() -> str:
    if os.path.exists(_BRLTTY):
        return "chardev backend 'braille' is not simulated by qemu-sim"
    return "brlapi__openConnection: connect: No such file or directory"
