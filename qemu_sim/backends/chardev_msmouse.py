"""Chardev `msmouse`: a serial mouse, which nobody moves.

QEMU: chardev/msmouse.c
"""

from __future__ import annotations

from qemu_sim.backends.chardev import Chardev


class ChardevMsmouse(Chardev):
    """What is said to it is lost, as a mouse does not listen."""

    TYPE = "msmouse"
