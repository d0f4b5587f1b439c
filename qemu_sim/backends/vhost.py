"""A vhost-user session: the front end of one device whose rings a server processes.

QEMU: hw/virtio/vhost.c, hw/virtio/vhost-user.c

    open      connect and negotiate: features, queues, configuration
    start     tell the server guest RAM, inflight area, rings and eventfds; enable
    stop      take the rings back (GET_VRING_BASE)
    quiesce … release, adopt … activate      move all of it, open, to another process

A hand-over sends no message: socket, inflight area and eventfds move, guest RAM moves
beside them, and the server sees nothing. Server and front end share the open files of
the eventfds, O_NONBLOCK included, so nothing here relies on a read that blocks.

Not negotiated: BACKEND_REQ (a server cannot announce a changed configuration),
LOG_SHMFD (no dirty log). SET_VRING_ERR is not sent.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qemu_sim.backends import vhost_descriptors, vhost_dialogue
from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.backends.vhost_connection import VhostConnection
from qemu_sim.backends.vhost_descriptors import VhostDescriptors
from qemu_sim.backends.vhost_dialogue import Needs, VringSetup
from qemu_sim.backends.vhost_state import VhostState
from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.fds import Fd, TaggedFd, close_all
from qemu_sim.io import descriptor
from qemu_sim.virtio.queue import used_index
from qemu_sim.wire import vhost_user

if TYPE_CHECKING:
    from qemu_sim.backends.chardev import Chardev
    from qemu_sim.virtio.memory import GuestMemory
    from qemu_sim.virtio.queue import Ring

_log = logging.getLogger(__name__)


class VhostUserSession:
    """One device's session with one server. `device` names it in every error."""

    def __init__(self, device: str, needs: Needs, chardev: Chardev, memory: GuestMemory) -> None:
        """Nothing is opened yet. Raises QMPError for a chardev that is no unix socket."""
        if not isinstance(chardev, ChardevSocket) or not chardev.is_unix:
            raise QMPError(f'chardev "{chardev.id}" does not support FD passing')
        self.TYPE = needs.type
        self.needs = needs
        self.state = VhostState()
        self.failure: str | None = None
        self._device = device
        self._chardev = chardev
        self._memory = memory
        self._connection: VhostConnection | None = None
        self._fds = VhostDescriptors()

    @property
    def name(self) -> str:
        """What errors call the session: the device and its socket."""
        return f"{self._device}: vhost-user server at {self._chardev.address}"

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, in use or at rest."""
        return self._connection is not None or self._fds.socket is not None

    async def open(self) -> None:
        """Connect and negotiate. Raises QMPError naming the socket."""
        if not self._memory.shared:
            raise QMPError(
                "Failed initializing vhost-user memory map, "
                "consider using -object memory-backend-file share=on"
            )
        if not self._chardev.is_open:
            await self._chardev.open()
        self._connect(await self._chardev.take())
        try:
            self.state.terms = await vhost_dialogue.negotiate(self._live(), self.needs)
        except WireError as error:
            self.close()
            raise QMPError(f"{self.name}: {error}") from None
        except BaseException:
            self.close()
            raise

    async def start(self, rings: Sequence[Ring], bases: Sequence[int]) -> None:
        """Have the server process `rings`, each from its base (chains it already took).

        Raises QMPError naming the socket.
        """
        connection, state, fds = self._live(), self.state, self._fds
        state.rings, state.bases = list(rings), list(bases)
        fds.make_eventfds(len(rings))
        setups = zip(rings, bases, fds.kicks, fds.calls, strict=True)
        try:
            await vhost_dialogue.set_up(connection, state.terms, self._memory)
            await self._share_inflight(connection)
            vrings = [VringSetup(*setup) for setup in setups]
            await vhost_dialogue.start(connection, state.terms, vrings)
        except WireError as error:
            raise QMPError(f"{self.name}: {error}") from None
        state.started = True

    async def stop(self) -> None:
        """Take the rings back; `bases` says how far the server came.

        A server that is gone tells nothing; what it returned last stands in the used rings.
        """
        state = self.state
        if not state.started:
            return
        state.started = False
        if self.failure is not None:
            state.bases = [used_index(self._memory, ring) for ring in state.rings]
            return
        try:
            state.bases = await vhost_dialogue.stop(self._live(), state.terms, len(state.rings))
        except WireError as error:
            raise QMPError(f"{self.name}: {error}") from None

    def kick(self, queue: int) -> None:
        """Tell the server that a queue has new chains."""
        # A counter that is full says so too.
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._fds.kicks[queue].fileno(), 1)

    def call_fileno(self, queue: int) -> int:
        """The descriptor that becomes readable when the server has returned chains."""
        return self._fds.calls[queue].fileno()

    def clear_call(self, queue: int) -> None:
        """Make `call_fileno` unreadable until the next call."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fds.calls[queue].fileno())

    def close(self) -> None:
        """End the session and give every descriptor back."""
        if self.is_open:
            self._chardev.disconnected()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._fds.close()
        self.state = VhostState()

    def transfer_blocker(self) -> str | None:
        """Return why the session cannot move to another process, None when it can."""
        if self.failure is not None:
            return f"the connection is lost: {self.failure}"
        if not self._memory.shared:
            return "guest RAM is not shared"
        if self._chardev.server:
            return f"chardev '{self._chardev.id}' is a listening socket"
        return None

    def identity(self) -> dict[str, Any]:
        """Return type, socket, and the number and size of the queues."""
        return {
            "type": self.TYPE,
            "socket": str(self._chardev.address),
            "queues": self.needs.queues,
            "queue-size": self.needs.queue_size,
        }

    def mismatch(self, offered: dict[str, Any]) -> str | None:
        """Return why an offered session does not fit this device, None when it does."""
        if self.is_open:
            return "the device has a connection to its server already"
        for name, here in self.identity().items():
            if offered.get(name) != here:
                return f"{name} is {offered.get(name)!r} at the source, {here!r} here"
        return None

    def quiesce(self) -> None:
        """Put the socket at rest. Raises MigrationError in the middle of a message."""
        if self._connection is None:
            raise MigrationError(f"{self.name}: {self.failure or 'not connected'}")
        if self._connection.busy:
            raise MigrationError(f"{self.name}: a message is under way")
        self._fds.socket = self._connection.detach()
        self._connection = None

    def unquiesce(self) -> None:
        """Use the socket again."""
        sock, self._fds.socket = self._fds.socket, None
        assert sock is not None, "not at rest"
        self._connect(sock)

    def hand_over(self) -> tuple[dict[str, Any], list[TaggedFd]]:
        """Return the session as JSON and descriptors, which stay owned here."""
        fds = self._fds.tagged()
        state = {
            **self.state.save(),
            "ram": descriptor.identity(self._memory.fd),
            "descriptors": self._fds.describe(),
        }
        return state, fds

    def adopt(self, state: dict[str, Any], fds: list[TaggedFd]) -> None:
        """Own `fds` and the session they belong to, after checking each.

        Raises MigrationError, with all of `fds` closed, when anything is not what the
        source says it is, or guest RAM is not the memory the server has mapped.
        """
        try:
            loaded = VhostState.load(state)
            described = state.get("descriptors")
            identities = vhost_descriptors.verify(self._device, loaded, fds, described)
            self._check_ram(state.get("ram"))
        except MigrationError:
            close_all(tagged.fd for tagged in fds)
            raise
        self.state = loaded
        self._fds.own(fds, identities)

    def activate(self) -> None:
        """Use what was adopted."""
        self.unquiesce()
        self._chardev.adopted()

    def disown(self) -> None:
        """Close what was adopted."""
        self.close()

    def release(self) -> None:
        """Close the copies of what another process owns now."""
        self.close()

    def _live(self) -> VhostConnection:
        if self._connection is None:
            raise QMPError(f"{self.name}: {self.failure or 'not connected'}")
        return self._connection

    def _connect(self, sock: Fd) -> None:
        self.failure = None
        self._connection = VhostConnection(sock, self.name, self._lost)
        reply_ack = self.state.terms.includes(vhost_user.PROTOCOL_F_REPLY_ACK)
        self._connection.reply_ack = reply_ack

    def _lost(self, reason: str) -> None:
        """The rings stay as they are: nobody processes them any more."""
        _log.error("%s: %s", self.name, reason)
        self.failure = reason
        self._connection = None
        self._chardev.disconnected()

    async def _share_inflight(self, connection: VhostConnection) -> None:
        """Use one inflight area for as long as the session lasts."""
        state, fds = self.state, self._fds
        if not state.terms.includes(vhost_user.PROTOCOL_F_INFLIGHT_SHMFD):
            return
        if state.inflight is None or fds.inflight is None:
            state.inflight, fds.inflight = await vhost_dialogue.get_inflight(connection, self.needs)
        await vhost_dialogue.set_inflight(connection, state.inflight, fds.inflight)

    def _check_ram(self, at_source: Any) -> None:
        here = descriptor.identity(self._memory.fd)
        if here != at_source:
            raise MigrationError(
                f"{self._device}: the server has mapped {at_source}, guest RAM is {here}"
            )
