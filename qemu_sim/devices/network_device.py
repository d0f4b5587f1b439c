"""A NIC on a netdev, or without one.

QEMU: net/net.c (qemu_new_nic, qemu_del_net_client)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qemu_sim.devices.device import Device

if TYPE_CHECKING:
    from qemu_sim.backends.netdev import Netdev
    from qemu_sim.devices.device import Parts


class NetworkDevice(Device):
    """Holds its netdev as long as both are there."""

    PROPERTIES_OF: ClassVar[str | None] = None
    """The type that an error names as the property's owner, where it is not TYPE."""

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Claim the netdev named in `properties`. Raises QMPError in QEMU's words."""
        super().__init__(id, path, properties, parts)
        self.mac: str = properties["mac"] if "mac" in properties else parts.next_mac()
        self.netdev: Netdev | None = None
        if properties.get("netdev"):
            owner = self.PROPERTIES_OF or self.TYPE
            self.netdev = parts.claim_netdev(owner, properties["netdev"])

    @property
    def netdev_id(self) -> str | None:
        """The netdev that it has, which is not the property's once that is gone."""
        return None if self.netdev is None else self.netdev.id

    async def open(self) -> None:
        """Open the netdev, if that is not done."""
        if self.netdev is not None and not self.netdev.is_open:
            await self.netdev.open()

    def unwire(self) -> None:
        """Go without the netdev, which is about to be removed."""
        self.halt()
        self.netdev = None

    def set_link(self, up: bool) -> None:
        """Plug the cable in or pull it, where the guest has a driver."""

    def announce(self) -> None:
        """Tell the network where the guest is, where it has a driver."""
