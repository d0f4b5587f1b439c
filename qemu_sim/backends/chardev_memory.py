"""Chardev `memory`: the older name of `ringbuf`.

QEMU: chardev/char-ringbuf.c (char_memory_type_info)
"""

from __future__ import annotations

from qemu_sim.backends.chardev_ringbuf import ChardevRingbuf


class ChardevMemory(ChardevRingbuf):
    """A ring buffer in all but its name."""

    TYPE = "memory"
