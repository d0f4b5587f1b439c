"""The object cryptodev-backend: encryption for a device, which no simulated one asks for.

QEMU: backends/cryptodev.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.object import Object, Place
from qemu_sim.errors import QMPError


class CryptodevBackend(Object):
    """Queues of requests."""

    TYPE = "cryptodev-backend"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Raises QMPError in QEMU's words."""
        super().__init__(id, options, place)
        if options.get("queues") == 0:
            raise QMPError(f"Property '{self.TYPE}.queues' doesn't take value '0'")
