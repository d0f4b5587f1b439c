"""Chardev `vc`: a text console on a display, and there is no display.

QEMU: ui/console-vc.c
"""

from __future__ import annotations

from qemu_sim.backends.chardev import Chardev


class ChardevVc(Chardev):
    """What is written to it would show on a screen, and is lost."""

    TYPE = "vc"
