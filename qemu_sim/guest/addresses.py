"""The addresses of one IP version that the guest answers for: a given set, or any.

"Any" must not break the network it is on:
- An address that somebody else on the wire has claimed is his. Claims are learnt from
  ARP and neighbour discovery; the table is bounded, the oldest claim goes first.
- Whoever claimed an address and now asks for it has given it up: no host asks the wire
  for an address of its own, other than to see whether it is free.
"""

from __future__ import annotations

_MAX_CLAIMS = 256


class Addresses:
    """Packed addresses; MAC addresses are 6 bytes."""

    def __init__(self, own: frozenset[bytes]) -> None:
        """Answer for `own`, or for any address when it is empty."""
        self._own = own
        self._claims: dict[bytes, bytes] = {}

    @property
    def any(self) -> bool:
        """Whether the guest answers for whatever it is asked for."""
        return not self._own

    def claim(self, address: bytes, mac: bytes) -> None:
        """Note that the machine `mac` uses `address`."""
        if self._own:
            return
        self._claims.pop(address, None)
        self._claims[address] = mac
        if len(self._claims) > _MAX_CLAIMS:
            del self._claims[next(iter(self._claims))]

    def accept(self, address: bytes) -> bool:
        """Whether a packet that came to our MAC for `address` is ours."""
        return self.any or address in self._own

    def resolve(self, address: bytes, asker: bytes) -> bool:
        """Whether to tell the machine `asker` that `address` is at our MAC."""
        return self.accept(address) and self._claims.get(address, asker) == asker

    def save(self) -> dict[str, str]:
        """Return the claims, as JSON."""
        return {address.hex(): mac.hex() for address, mac in self._claims.items()}

    def load(self, state: dict[str, str]) -> None:
        """Go on from what `save` returned."""
        self._claims = {
            bytes.fromhex(address): bytes.fromhex(mac) for address, mac in state.items()
        }
