"""Chardev `mux`: several front ends share one chardev.

QEMU: chardev/char-mux.c

All of them write. Which of them would hear what is typed makes no difference here.
"""

from __future__ import annotations

from collections.abc import Mapping

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError


class ChardevMux(Chardev):
    """`chardev` names what is shared."""

    TYPE = "mux"
    front_ends = 4  # MAX_MUX

    _base: Chardev

    def find_bases(self, chardevs: Mapping[str, Chardev]) -> list[Chardev]:
        """Return what is shared. Raises QMPError in QEMU's words."""
        name = self.options["chardev"]
        if name not in chardevs:
            raise QMPError(f"mux: base chardev {name} not found")
        self._base = chardevs[name]
        return [self._base]

    def send(self, data: bytes) -> None:
        """Pass `data` on."""
        self._base.write(data)
