"""Chardev `wctablet`: a Wacom tablet, whose pen nobody moves.

QEMU: chardev/wctablet.c
"""

from __future__ import annotations

from qemu_sim.backends.chardev import Chardev


class ChardevWctablet(Chardev):
    """What is said to it is lost: the questions of a driver are not answered."""

    TYPE = "wctablet"
