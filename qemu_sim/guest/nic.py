"""A NIC in use: joins a netdev with the simulated guest's network stack.

QEMU: hw/net/virtio-net.c

A stopped machine answers nothing and reads nothing. While the link is down frames are lost,
in both directions.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from qemu_sim.guest.arp import self_announcement

if TYPE_CHECKING:
    from qemu_sim.backends.netdev import Netdev
    from qemu_sim.guest.network import Network


class NIC:
    """One NIC; `frames_in`, `frames_out` and `errors` (answers the host refused) count frames."""

    def __init__(self, netdev: Netdev, network: Network) -> None:
        """Join both; the netdev stays its owner's."""
        self._netdev = netdev
        self._network = network
        self.frames_in = 0
        self.frames_out = 0
        self.errors = 0
        self.link_up = True
        self._runs = False
        self._waiting = 0  # announcements

    def start(self) -> None:
        """Read and answer frames."""
        self._netdev.start(self._receive)
        self._runs = True
        while self._waiting:
            self._waiting -= 1
            self.announce()

    def stop(self) -> None:
        """Leave frames unread."""
        self._netdev.stop()
        self._runs = False

    def announce(self) -> None:
        """Tell switches where the guest is: a reverse ARP request from its address.

        It waits in a stopped machine: elsewhere another may run, with the same address.
        """
        if not self._runs:
            self._waiting += 1
            return
        frame = self_announcement(self._network.mac)
        if self.link_up and self._netdev.link_up and self._netdev.send(0, frame):
            self.frames_out += 1

    def save(self) -> dict[str, Any]:
        """Return counters and the network stack's state, as JSON."""
        return {
            "frames-in": self.frames_in,
            "frames-out": self.frames_out,
            "errors": self.errors,
            "link-up": self.link_up,
            "network": self._network.save(),
        }

    def load(self, state: dict[str, Any], mac: bytes) -> None:
        """Go on from what `save` returned in another process, at the MAC it had there."""
        counters = (state["frames-in"], state["frames-out"], state["errors"])
        self.frames_in, self.frames_out, self.errors = map(operator.index, counters)
        self.link_up = state["link-up"]
        self._network.mac = mac
        self._network.load(state["network"])

    def _receive(self, queue: int, frame: bytes) -> None:
        if not (self.link_up and self._netdev.link_up):
            return
        self.frames_in += 1
        for answer in self._network.receive(frame):
            if self._netdev.send(queue, answer):
                self.frames_out += 1
            else:
                self.errors += 1
