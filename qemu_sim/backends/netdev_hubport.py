"""The netdev hubport: NICs and netdevs on ports of one hub hear each other.

QEMU: net/hub.c

A hub exists as long as it has a port. Nothing of the host is taken.
"""

from __future__ import annotations

from qemu_sim.backends.netdev import Netdev, Receive
from qemu_sim.errors import QMPError


class HubPort(Netdev):
    """One port. `netdev`, another netdev on the port instead of a NIC, is not simulated."""

    TYPE = "hubport"

    _is_open = False
    _receive: Receive | None = None

    @property
    def is_open(self) -> bool:
        """Whether it was opened."""
        return self._is_open

    @property
    def hub(self) -> int:
        """The number of the hub."""
        number: int = self.options["hubid"]
        return number

    async def open(self) -> None:
        """Join the hub. Raises QMPError for a port that is no NIC's."""
        if "netdev" in self.options:
            raise QMPError("a netdev on a hubport is not simulated by qemu-sim")
        self._is_open = True

    def close(self) -> None:
        """Leave the hub."""
        self.stop()
        self._is_open = False

    def start(self, receive: Receive) -> None:
        """Hear the other ports."""
        self._receive = receive

    def stop(self) -> None:
        """Hear nothing; a hub keeps no frames."""
        self._receive = None

    def send(self, queue: int, frame: bytes) -> bool:
        """Let every other port of the hub hear a frame."""
        del queue
        for other in self.neighbours.values():
            if isinstance(other, HubPort) and other is not self and other.hub == self.hub:
                other.hear(frame)
        return True

    def hear(self, frame: bytes) -> None:
        """Take a frame from another port."""
        if self._receive is not None:
            self._receive(0, frame)
