"""The disk vhost-user-blk-pci and the simulated guest that uses it.

QEMU: hw/block/vhost-user-blk.c, hw/virtio/vhost-user-blk-pci.c

The server is told of the rings the first time the machine runs, as a real guest's driver
would do it, and again after `drain`. A lost server is not looked for again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from qemu_sim.backends.background_start import BackgroundStart
from qemu_sim.backends.vhost import VhostUserSession
from qemu_sim.backends.vhost_dialogue import Needs
from qemu_sim.devices.device import Device
from qemu_sim.errors import QMPError
from qemu_sim.guest.disk import GuestDisk
from qemu_sim.virtio.blk import SECTOR, VirtioBlk

if TYPE_CHECKING:
    from qemu_sim.devices.device import Parts
    from qemu_sim.migration.transfer import Backend

_F_MQ = 1 << 12  # VIRTIO_BLK_F_MQ
_CONFIG_SIZE = 60  # struct virtio_blk_config, as far as QEMU 7.2 and later read it
_CAPACITY = slice(0, 8)  # in sectors, little-endian
_MAX_QUEUE_SIZE = 1024  # VIRTQUEUE_MAX_SIZE
_DRAIN_TIMEOUT = 10.0  # seconds for requests under way
_AUTO_QUEUES = 0xFFFF  # VHOST_USER_BLK_AUTO_NUM_QUEUES; one queue here
_NO_LOAD = {
    "requests": 0,
    "errors": 0,
    "inflight": 0,
    "frames-in": 0,
    "frames-out": 0,
    "largest-gap-us": 0,
}


class VhostUserBlkPCI(Device):
    """Properties in use: chardev, num-queues (1 unless given), queue-size (128)."""

    TYPE = "vhost-user-blk-pci"
    IS_PROXY = True

    def __init__(self, id: str | None, path: str, properties: dict[str, Any], parts: Parts) -> None:
        """Check the properties and claim the chardev. Raises QMPError in QEMU's words."""
        super().__init__(id, path, properties, parts)
        queues, size = _queues(properties)
        features = _F_MQ if queues > 1 else 0
        needs = Needs("vhost-user-blk", features, queues, size, _CONFIG_SIZE)
        chardev = parts.claim_chardev("vhost-user-blk", properties["chardev"])
        self._memory = parts.memory
        self._session = VhostUserSession(self.name, needs, chardev, parts.memory)
        self._disk: GuestDisk | None = None
        self._bases = [0] * queues
        self._running = False
        self._starting = BackgroundStart()

    @property
    def backend(self) -> Backend | None:
        """The session with the server."""
        return self._session

    @property
    def driver_features(self) -> tuple[str, ...] | None:
        """What a ring needs."""
        return ("VIRTIO_F_VERSION_1",)

    @property
    def capacity(self) -> int:
        """Bytes of the disk, as the server says; 0 while there is no server."""
        return int.from_bytes(self._session.state.terms.config[_CAPACITY], "little") * SECTOR

    async def open(self) -> None:
        """Connect to the server and negotiate, unless that is done."""
        if not self._session.is_open:
            await self._session.open()

    def run(self) -> None:
        """Let the guest use the disk; the first time, its driver sets the rings up."""
        self._running = True
        if self._session.state.started:
            self._guest().run()
        elif self._session.is_open:
            self._starting.begin(self.restart)

    def halt(self) -> None:
        """Keep the guest off the disk; requests under way stay with the server."""
        self._running = False
        if self._disk is not None:
            self._disk.halt()

    async def drain(self) -> None:
        """Let the server finish, and take the rings back. Raises QMPError if it does not."""
        await self._starting.over()
        if not self._session.state.started:
            return
        if self._session.failure is None:
            await self._settle()
        await self._session.stop()
        self._bases = self._session.state.bases

    async def restart(self) -> None:
        """Give the rings to the server, unless it has them."""
        if self._session.state.started or not self._session.is_open:
            return
        guest = self._guest()
        await self._session.start(guest.rings, self._bases)
        if self._running:
            guest.run()

    def start_load(self, depth: int, write: bool) -> None:
        """Have the guest keep `depth` requests under way; see GuestDisk.start_load."""
        if not self._session.is_open:
            raise QMPError(f"Device '{self.name}' has no connection to its server")
        self._guest().start_load(self.capacity, depth, write)

    def stop_load(self) -> None:
        """Have the guest send no new requests."""
        if self._disk is not None:
            self._disk.stop_load()

    def save(self) -> dict[str, Any]:
        """Return the guest driver's state, {} while it has none."""
        if self._disk is None:
            return {}
        return {"guest": self._disk.save(), "bases": self._bases}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `save` of another process, whose RAM is here already."""
        if self._disk is not None:
            self._disk.close()
            self._disk = None
        if not state:
            return
        self._disk = GuestDisk.load(self.name, self._memory, self._session, state["guest"])
        self._bases = list(state["bases"])

    def report(self) -> dict[str, Any] | None:
        """Return the guest's counters; a disk that was never used has none but zeros."""
        return _NO_LOAD if self._disk is None else self._disk.report()

    def close(self) -> None:
        """End the session and free the guest's RAM."""
        self.halt()
        self._starting.cancel()
        # The server first: it may be writing into the guest's RAM.
        self._session.close()
        if self._disk is not None:
            self._disk.close()
            self._disk = None

    def _guest(self) -> GuestDisk:
        if self._disk is None:
            needs = self._session.needs
            driver = VirtioBlk.probe(self._memory, needs.queues, needs.queue_size)
            self._disk = GuestDisk(self.name, self._memory, self._session, driver)
        return self._disk

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(_DRAIN_TIMEOUT):
                await self._guest().settle()
        except TimeoutError:
            raise QMPError(
                f"Device '{self.name}': the server has not finished its requests "
                f"within {_DRAIN_TIMEOUT:g} s"
            ) from None


def _queues(properties: dict[str, Any]) -> tuple[int, int]:
    """Return number and size of the queues. Raises QMPError in QEMU's words."""
    if "chardev" not in properties:
        raise QMPError("chardev is mandatory")
    queues = properties.get("num-queues", _AUTO_QUEUES)
    size = properties.get("queue-size", 128)
    if queues == 0:
        raise QMPError("invalid number of IO queues")
    if size == 0:
        raise QMPError("queue size must be non-zero")
    if size > _MAX_QUEUE_SIZE:
        raise QMPError(f"queue size must not exceed {_MAX_QUEUE_SIZE}")
    if size & (size - 1):
        raise QMPError(f"queue size {size} is not a power of two")
    return (1 if queues == _AUTO_QUEUES else queues), size
