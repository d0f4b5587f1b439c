"""Netdev `vhost-user`: a NIC's queues are processed by a server, a switch for instance.

QEMU: net/vhost-user.c, hw/net/vhost_net.c

The frames are in guest RAM, so this netdev has the guest's driver with it: to the NIC it
looks like any netdev. The server is told of the rings when the NIC is started first, and
again after `drain`. Frames the server delivered while the machine was stopped wait in
guest RAM, and move with it. Frames of more than 2036 bytes are dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qemu_sim.backends.background_start import BackgroundStart
from qemu_sim.backends.netdev import Netdev
from qemu_sim.backends.vhost import VhostUserSession
from qemu_sim.backends.vhost_dialogue import Needs
from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.fds import close_all
from qemu_sim.virtio.net import VirtioNet
from qemu_sim.virtio.queue import used_index

if TYPE_CHECKING:
    from qemu_sim.backends.chardev import Chardev
    from qemu_sim.backends.netdev import Receive
    from qemu_sim.fds import Fd, TaggedFd
    from qemu_sim.virtio.memory import GuestMemory

_F_MQ = 1 << 22  # VIRTIO_NET_F_MQ
_MAX_PAIRS = 1024  # MAX_QUEUE_NUM
_QUEUE_SIZE = 256  # VIRTIO_NET_RX_QUEUE_DEFAULT_SIZE
_log = logging.getLogger(__name__)


class NetdevVhostUser(Netdev):
    """`attach` comes before everything else: it brings the chardev and guest RAM."""

    TYPE = "vhost-user"

    def __init__(self, id: str, options: dict[str, Any], fds: Sequence[Fd] = ()) -> None:
        """Check the options. Raises QMPError in QEMU's words."""
        super().__init__(id, options, fds)
        self.queues = options.get("queues", 1)
        if not 0 < self.queues <= _MAX_PAIRS:
            raise QMPError(f"vhost-user number of queues must be in range [1, {_MAX_PAIRS}]")
        self._pairs = self.queues
        self._session: VhostUserSession | None = None
        self._memory: GuestMemory | None = None
        self._driver: VirtioNet | None = None
        self._receive: Receive | None = None
        self._listening = False
        self._starting = BackgroundStart()

    def attach(self, chardev: Chardev, memory: GuestMemory) -> None:
        """Use the chardev that `options` names, and this machine's RAM."""
        needs = Needs(self.TYPE, _F_MQ if self.queues > 1 else 0, self.queues, _QUEUE_SIZE, 0)
        self._memory = memory
        self._session = VhostUserSession(f"netdev {self.id}", needs, chardev, memory)

    @property
    def info(self) -> str:
        """What it is connected to."""
        return f"vhost-user0 to {self.options['chardev']}"

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._session is not None and self._session.is_open

    async def open(self) -> None:
        """Connect to the server and negotiate. Raises QMPError naming the socket."""
        await self._vhost.open()

    def close(self) -> None:
        """End the connection and free the guest's RAM."""
        self.stop()
        self._starting.cancel()
        if self._session is not None:
            self._session.close()
        self._drop_driver()
        close_all(self._given)

    def start(self, receive: Receive) -> None:
        """Pass frames to `receive`; the first time, the server is told of the rings."""
        self._receive = receive
        if self._vhost.state.started:
            self._listen()
        elif self.is_open:
            self._starting.begin(self.restart)

    def stop(self) -> None:
        """Leave frames in guest RAM."""
        self._receive = None
        if not self._listening:
            return
        self._listening = False
        loop = asyncio.get_running_loop()
        for pair in range(self._guest.pairs):
            loop.remove_reader(self._vhost.call_fileno(2 * pair))

    def send(self, queue: int, frame: bytes) -> bool:
        """Give one frame to the server; False when it has no room, no rings, or broke one."""
        if not self._vhost.state.started or queue >= self._guest.pairs:
            return False
        try:
            sent = self._guest.send(queue, frame)
        except WireError as error:
            self._broken(error)
            return False
        ring = 2 * queue + 1
        if self._guest.queues[ring].queue.publish():
            self._vhost.kick(ring)
        return sent

    def enable_queues(self, count: int) -> None:
        """Tell the server of the first `count` queue pairs only, from the next start on."""
        self._pairs = count

    async def drain(self) -> None:
        """Take the rings back from the server."""
        await self._starting.over()
        await self._vhost.stop()

    async def restart(self) -> None:
        """Give the rings to the server, unless it has them."""
        session = self._vhost
        if session.state.started or not session.is_open:
            return
        rings = self._guest.rings
        # A server that never had these rings goes on behind what the last one returned.
        bases = [used_index(self._ram, ring) for ring in rings]
        if session.state.rings == rings:
            bases = session.state.bases
        for queue in self._guest.queues[::2]:
            queue.fill()
        await session.start(rings, bases)
        for index in range(len(rings)):
            session.kick(index)
        if self._receive is not None:
            self._listen()

    def forget_rings(self) -> None:
        """Have the guest's driver begin anew; the server has given the rings back."""
        assert not self._vhost.state.started, "drain comes first"
        self._drop_driver()
        self._vhost.state.rings = []

    def transfer_blocker(self) -> str | None:
        """Return why the session cannot move, None when it can."""
        return self._vhost.transfer_blocker()

    def identity(self) -> dict[str, Any]:
        """Return what both sides must have in common."""
        return self._vhost.identity()

    def mismatch(self, offered: dict[str, Any]) -> str | None:
        """Return why an offered session does not fit; names both values."""
        return self._vhost.mismatch(offered)

    def quiesce(self) -> None:
        """Stop listening and put the socket at rest."""
        self.stop()
        self._vhost.quiesce()

    def unquiesce(self) -> None:
        """Use the socket again."""
        self._vhost.unquiesce()

    def hand_over(self) -> tuple[dict[str, Any], list[TaggedFd]]:
        """Return session and driver, and the descriptors, which stay owned here."""
        state, fds = self._vhost.hand_over()
        return state | {"driver": self._driver and self._driver.save()}, fds

    def adopt(self, state: dict[str, Any], fds: list[TaggedFd]) -> None:
        """Own session and driver after checking them. Raises MigrationError."""
        self._vhost.adopt(state, fds)
        try:
            self._drop_driver()
            if state.get("driver") is not None:
                self._driver = VirtioNet.load(self._ram, state["driver"])
        except MigrationError:
            self._vhost.disown()
            raise

    def activate(self) -> None:
        """Use what was adopted."""
        self._vhost.activate()

    def disown(self) -> None:
        """Close what was adopted."""
        self._vhost.disown()
        self._drop_driver()

    def release(self) -> None:
        """Close the copies of what another process owns now."""
        self._vhost.release()

    @property
    def _vhost(self) -> VhostUserSession:
        assert self._session is not None, "attach comes first"
        return self._session

    @property
    def _ram(self) -> GuestMemory:
        assert self._memory is not None, "attach comes first"
        return self._memory

    @property
    def _guest(self) -> VirtioNet:
        if self._driver is None:
            self._driver = VirtioNet.probe(self._ram, self._pairs, _QUEUE_SIZE)
        return self._driver

    def _listen(self) -> None:
        """Take what has come while nobody listened, and then what comes."""
        if self._listening:
            return
        self._listening = True
        loop = asyncio.get_running_loop()
        for pair in range(self._guest.pairs):
            loop.add_reader(self._vhost.call_fileno(2 * pair), self._called, pair)
            loop.call_soon(self._called, pair)

    def _called(self, pair: int) -> None:
        if self._receive is None:
            return
        ring = 2 * pair
        self._vhost.clear_call(ring)
        try:
            if self._guest.receive(pair, self._receive):
                self._vhost.kick(ring)
        except WireError as error:
            _log.error("netdev %s: %s", self.id, error)
            self.stop()

    def _broken(self, error: WireError) -> None:
        """Log what the server did to a queue, and leave all of them alone."""
        _log.error("netdev %s: %s", self.id, error)
        self.stop()

    def _drop_driver(self) -> None:
        if self._driver is not None:
            self._driver.close()
            self._driver = None
