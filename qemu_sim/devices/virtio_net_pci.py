"""The NIC virtio-net-pci and the simulated guest that uses it.

QEMU: hw/net/virtio-net.c, hw/virtio/virtio-net-pci.c

With mq=on the guest uses every queue pair of the netdev, otherwise the first. The guest's
driver negotiates no offload, so each frame is complete.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qemu_sim.devices.network_device import NetworkDevice
from qemu_sim.errors import MigrationError, QMPError
from qemu_sim.guest.network import Network
from qemu_sim.guest.nic import NIC

if TYPE_CHECKING:
    from qemu_sim.devices.device import Parts
    from qemu_sim.migration.transfer import Backend

_MAC = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")
_NO_GUEST_ACTION = {"requests": 0, "inflight": 0, "largest-gap-us": 0}


class VirtioNetPCI(NetworkDevice):
    """A virtio-net NIC; without a netdev it is a NIC with no cable."""

    TYPE = "virtio-net-pci"
    IS_PROXY = True
    PROPERTIES_OF = "virtio-net-device"

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Join the netdev named in `properties` with a network stack of its own."""
        super().__init__(id, path, properties, parts)
        mac = _mac(self.mac)
        self.mac = mac.hex(":")
        self._nic: NIC | None = None
        if self.netdev is not None:
            self._nic = NIC(self.netdev, Network(mac, *parts.guest_addresses))

    @property
    def backend(self) -> Backend | None:
        """The netdev."""
        return self.netdev

    @property
    def driver_features(self) -> tuple[str, ...] | None:
        """No offload, as frames are complete."""
        return None if self._nic is None else ("VIRTIO_F_VERSION_1", "VIRTIO_NET_F_MAC")

    @property
    def queue_pairs(self) -> int:
        """How many queue pairs the guest uses; 0 without a netdev."""
        if self.netdev is None:
            return 0
        return self.netdev.queues if self.properties.get("mq", False) else 1

    @property
    def _is_standby(self) -> bool:
        return self.properties.get("failover", False) is True

    async def open(self) -> None:
        """Open the netdev unless that is done, and use as many queues as the guest does."""
        await super().open()
        if self.netdev is not None:
            self.netdev.enable_queues(self.queue_pairs)

    def unwire(self) -> None:
        """Go without the netdev, and have the guest's driver find no link."""
        super().unwire()
        self._nic = None

    def set_link(self, up: bool) -> None:
        """Plug the cable in or pull it; without a netdev there is none."""
        if self._nic is not None:
            self._nic.link_up = up

    def announce(self) -> None:
        """Tell the network where the guest is."""
        if self._nic is not None and self.netdev is not None and self.netdev.is_open:
            self._nic.announce()

    def run(self) -> None:
        """Let the guest answer what comes.

        Behind a NIC whose TAP a stream should have brought, and did not, nothing comes.
        """
        is_there = self.netdev is not None and self.netdev.is_open and not self.unplugged
        if self._nic is not None and is_there:
            self._nic.start()
        if self._is_standby and self.id is not None:
            self.parts.failover.negotiate(self.id)

    def reset(self) -> None:
        """Let the driver begin anew; that of a standby says again that it knows what it is."""
        if self._is_standby and self.id is not None:
            self.parts.failover.negotiate_again(self.id)

    def halt(self) -> None:
        """Leave what comes in the kernel."""
        if self._nic is not None:
            self._nic.stop()

    async def drain(self) -> None:
        """Have a vhost-user server give the rings back."""
        if self.netdev is not None:
            await self.netdev.drain()

    async def restart(self) -> None:
        """Give a vhost-user server the rings again."""
        if self.netdev is not None:
            await self.netdev.restart()

    def save(self) -> dict[str, Any]:
        """Return the MAC, the queue pairs in use and the guest's network state."""
        state: dict[str, Any] = {"mac": self.mac, "queue-pairs": self.queue_pairs}
        if self._nic is not None:
            state["nic"] = self._nic.save()
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Go on where the source's guest stopped; it keeps the MAC it knows, as in QEMU."""
        if state["queue-pairs"] != self.queue_pairs:
            raise MigrationError(
                f"{self.name}: {state['queue-pairs']} queue pairs in use on the source,"
                f" {self.queue_pairs} on the destination"
            )
        mac = _mac(state["mac"])
        self.mac = mac.hex(":")
        if self._nic is not None:
            self._nic.load(state["nic"], mac)

    def report(self) -> dict[str, Any] | None:
        """Return the frames the guest has seen and sent; errors are answers the host refused."""
        if self._nic is None:
            return None
        return {
            **_NO_GUEST_ACTION,
            "errors": self._nic.errors,
            "frames-in": self._nic.frames_in,
            "frames-out": self._nic.frames_out,
        }

    def close(self) -> None:
        """Stop reading; the netdev stays open."""
        self.halt()


def _mac(text: str) -> bytes:
    if not _MAC.fullmatch(text):
        raise QMPError(f"Property 'virtio-net-device.mac' doesn't take value '{text}'")
    return bytes.fromhex(text.replace("-", "").replace(":", ""))
