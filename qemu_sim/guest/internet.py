"""What IPv4 and IPv6 of the guest have in common: reassembly, and whom they answer for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.guest.fragments import Fragments

if TYPE_CHECKING:
    from qemu_sim.guest.addresses import Addresses


class Internet:
    """One version of the internet protocol."""

    def __init__(self, addresses: Addresses, is_unicast: Callable[[bytes], bool]) -> None:
        """Answer for `addresses`, of which `is_unicast` says which one machine may have."""
        self._addresses = addresses
        self._is_unicast = is_unicast
        self._fragments = Fragments()
        self._next_id = 0

    def save(self) -> dict[str, Any]:
        """Return what the next packets depend on, as JSON."""
        return {"fragments": self._fragments.save(), "next-id": self._next_id}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `save` returned."""
        self._fragments.load(state["fragments"])
        self._next_id = state["next-id"]

    def _ours(self, source: bytes, target: bytes) -> bool:
        return (
            source != target
            and self._is_unicast(source)
            and self._is_unicast(target)
            and self._addresses.accept(target)
        )
