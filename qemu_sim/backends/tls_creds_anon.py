"""The object tls-creds-anon: how TLS without certificates would be spoken. Nothing here speaks it.

QEMU: crypto/tlscredsanon.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.backends.object import Object, Place

# What a client reads of members that nobody gave. QEMU 7.2 also tells that it has loaded them.
_UNGIVEN = {
    "endpoint": "client",
    "dir": "",
    "verify-peer": True,
    "priority": "",
    "loaded": True,
}


class TlsCredsAnon(Object):
    """A key exchange with nobody's name in it."""

    TYPE = "tls-creds-anon"

    def __init__(self, id: str, options: dict[str, Any], place: Place | None = None) -> None:
        super().__init__(id, {**_UNGIVEN, **options}, place)
