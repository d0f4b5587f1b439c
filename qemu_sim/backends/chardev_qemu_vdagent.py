"""Chardev `qemu-vdagent`: mouse and clipboard for an agent in the guest, and none runs.

QEMU: ui/vdagent.c
"""

from __future__ import annotations

from qemu_sim.backends.chardev import Chardev


class ChardevQemuVdagent(Chardev):
    """An agent's words are lost."""

    TYPE = "qemu-vdagent"
