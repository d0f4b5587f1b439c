"""Chardev `hub`: one front end uses several chardevs.

QEMU: chardev/char-hub.c (since 10.0)
"""

from __future__ import annotations

from collections.abc import Mapping

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError

_MOST = 4  # MAX_HUB


class ChardevHub(Chardev):
    """`chardevs` names them; each gets all that is written."""

    TYPE = "hub"

    def find_bases(self, chardevs: Mapping[str, Chardev]) -> list[Chardev]:
        """Return the chardevs. Raises QMPError in QEMU's words."""
        names = self.options.get("chardevs")
        if not names:
            raise QMPError("hub: 'chardevs' list is not defined")
        if len(names) > _MOST:
            raise QMPError(f"hub: too many uses of chardevs '{self.id}' (maximum is {_MOST})")
        self._bases = [self._find(chardevs, name) for name in names]
        return self._bases

    def send(self, data: bytes) -> None:
        """Pass `data` on to all."""
        for base in self._bases:
            base.write(data)

    def _find(self, chardevs: Mapping[str, Chardev], name: str) -> Chardev:
        found = chardevs.get(name)
        if found is None:
            raise QMPError(f"hub: chardev can't be found by id '{name}'")
        if found.TYPE in ("mux", "hub"):
            raise QMPError(
                f"hub: multiplexers and hub devices can't be stacked, check chardev '{name}', "
                "chardev should not be a hub device or have 'mux=on' enabled"
            )
        return found
