"""Chardev `null`: swallows what is written, offers nothing to read.

QEMU: chardev/char-null.c
"""

from __future__ import annotations

from qemu_sim.backends.chardev import Chardev


class ChardevNull(Chardev):
    """There is nothing to open."""

    TYPE = "null"
