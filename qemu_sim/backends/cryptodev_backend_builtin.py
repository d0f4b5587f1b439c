"""The object cryptodev-backend-builtin: encryption in the process itself.

QEMU: backends/cryptodev-builtin.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.cryptodev_backend import CryptodevBackend
from qemu_sim.backends.object import Place
from qemu_sim.errors import QMPError


class CryptodevBackendBuiltin(CryptodevBackend):
    """One queue of requests."""

    TYPE = "cryptodev-backend-builtin"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        """Raises QMPError in QEMU's words."""
        super().__init__(id, options, place)
        if options.get("queues", 1) != 1:
            raise QMPError("Only support one queue in cryptdov-builtin backend")
