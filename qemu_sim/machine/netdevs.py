"""The netdevs of one machine, by ID, and which of them have a NIC.

QEMU: net/net.c (net_client_init, qmp_netdev_del)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qemu_sim import catalog
from qemu_sim.errors import DeviceNotFound, QMPError

if TYPE_CHECKING:
    from qemu_sim.backends.chardev import Chardev
    from qemu_sim.backends.netdev import Netdev
    from qemu_sim.fds import Fd
    from qemu_sim.machine.chardevs import Chardevs
    from qemu_sim.virtio.memory import GuestMemory

# Netdev types of the schema that Debian's QEMU lacks; "nic" is none at all.
_NOT_COMPILED = ("netmap", "nic")


class Netdevs(Mapping[str, "Netdev"]):
    """Look one up by its ID.

    A machine that waits for a migration opens none yet that may come with that.
    """

    def __init__(
        self,
        version: tuple[int, int, int],
        chardevs: Chardevs,
        memory: Callable[[], GuestMemory],
        *,
        deferred: bool,
    ) -> None:
        """`memory` returns guest RAM, which a vhost-user netdev shares."""
        self._version = version
        self._chardevs = chardevs
        self._memory = memory
        self._parts: dict[str, Netdev] = {}
        self._claims: set[str] = set()  # those that have a NIC
        self.deferred = deferred
        # Which netdev a machine that waits for a migration leaves unopened.
        self.opens_late: Callable[[Netdev], bool] = lambda _: True
        self.emit: Callable[[str, dict[str, Any]], None] = lambda _name, _data: None  # told events

    def __getitem__(self, id: str) -> Netdev:
        return self._parts[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    async def add(
        self, kind: str, id: str, options: dict[str, Any], fds: Sequence[Fd] = ()
    ) -> None:
        """Make a netdev that owns `fds`, and open it. Raises QMPError in QEMU's words."""
        made = catalog.find("qemu_sim.backends", "netdev", kind)
        if kind in _NOT_COMPILED:
            raise QMPError(f"network backend '{kind}' is not compiled into this binary")
        if made is None:
            raise QMPError(f"netdev type '{kind}' is not simulated by qemu-sim")
        if id in self:
            raise QMPError(f"Duplicate ID '{id}'")
        netdev: Netdev = made(id, options, fds)
        netdev.neighbours = self._parts
        netdev.version, netdev.emit = self._version, self.emit
        try:
            if "chardev" in options:
                netdev.attach(self._claim_chardev(options["chardev"], id), self._memory())
            if not (self.deferred and self.opens_late(netdev)):
                await netdev.open()
        except BaseException:
            self._drop(netdev)
            raise
        self._parts[id] = netdev

    def delete(self, id: str) -> None:
        """Remove a netdev, which no NIC may use any more. Raises DeviceNotFound in QEMU's words."""
        if id not in self:
            raise DeviceNotFound(f"Device '{id}' not found")
        self._claims.discard(id)
        self._drop(self._parts.pop(id))

    def claim(self, device_type: str, id: str) -> Netdev:
        """Return the netdev `id` for one NIC. Raises QMPError in QEMU's words."""
        name = f"{device_type}.netdev"
        if id not in self:
            raise QMPError(f"Property '{name}' can't find value '{id}'")
        if id in self._claims:
            raise QMPError(f"Property '{name}' can't take value '{id}', it's in use")
        self._claims.add(id)
        return self[id]

    def unclaim(self, id: str) -> None:
        """Undo `claim`, if it was done."""
        self._claims.discard(id)

    def is_claimed(self, id: str) -> bool:
        """Whether a NIC has the netdev of that ID."""
        return id in self._claims

    def close(self) -> None:
        """Close all of them."""
        for netdev in self.values():
            netdev.close()

    def _claim_chardev(self, chardev: str, netdev: str) -> Chardev:
        if chardev not in self._chardevs:
            raise QMPError(f'chardev "{chardev}" not found')
        if self._chardevs.users(chardev):
            raise QMPError(f'chardev "{chardev}" is in use')
        self._chardevs.use(self._chardevs[chardev], netdev)
        return self._chardevs[chardev]

    def _drop(self, netdev: Netdev) -> None:
        netdev.close()
        self._chardevs.release(netdev.options.get("chardev", ""), netdev.id)
