"""Chardev `testdev`: a device for kernels that test themselves, and here none runs.

QEMU: chardev/testdev.c
"""

from __future__ import annotations

from qemu_sim.backends.chardev import Chardev


class ChardevTestdev(Chardev):
    """What is said to it is lost, the word to exit among it."""

    TYPE = "testdev"
