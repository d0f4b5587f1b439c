"""The source's two channels of a migration in the mode cpr-transfer.

QEMU: migration/cpr-transfer.c (cpr_transfer_output), migration/migration.c (qmp_migrate)
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.io import address as addresses
from qemu_sim.io import sockets
from qemu_sim.io.channel import Channel
from qemu_sim.migration.transports.socket import STRANGER
from qemu_sim.wire import cpr, vmstream

if TYPE_CHECKING:
    from qemu_sim.io.any_channel import AnyChannel
    from qemu_sim.migration.transport import Access, Arrival, Opening, Transport
    from qemu_sim.virtio.memory import GuestMemory


class CprTransport:
    """First `cpr`, with the descriptor of RAM that is no file of the host, then `main`."""

    def __init__(self, main: Transport, cpr: dict[str, Any], memory: GuestMemory) -> None:
        """`cpr` is a QAPI MigrationAddress."""
        self._main = main
        self._cpr = cpr
        self._memory = memory
        self._is_ahead = True
        self.can_carry_fds = main.can_carry_fds
        self.can_be_many = main.can_be_many
        self.can_seek = main.can_seek
        self.NAME = main.NAME

    def connect(self, access: Access) -> Opening:
        """Send what goes ahead, at once; all but the first time, it was.

        Raises QMPError in QEMU's words.
        """
        if not self._is_ahead:
            return self._main.connect(access)
        self._is_ahead = False
        channel = _connected(self._cpr, access)
        channel.half_open = True
        channel.send(cpr.HEADER)
        if not self._memory.is_named_file:
            channel.send(cpr.entry(self._memory.name))
            channel.send(vmstream.FD_BYTE, [self._memory.fd])
        channel.send(cpr.TAIL)
        channel.shut_down_writing()
        return AfterCpr(channel, self._main, access)

    def listen(self, access: Access) -> Arrival:
        """Only the source has two channels to open at once."""
        return self._main.listen(access)


def _connected(address: dict[str, Any], access: Access) -> Channel:
    """Connect at once: there is no waiting for a unix socket that somebody listens at."""
    if address["transport"] != "socket" or address["type"] != "unix":
        raise QMPError("bad cpr channel address; must be unix")
    sock = sockets.connect_unix(addresses.UnixAddress(address["path"]))
    if access.check_peer and not sockets.trusted_peer(sock):
        sock.close()
        raise QMPError(STRANGER)
    return Channel(sock)


class AfterCpr:
    """The way to the main channel, which opens when the destination closes the other."""

    def __init__(self, channel: Channel, main: Transport, access: Access) -> None:
        self._channel = channel
        self._main = main
        self._access = access
        self._opening: Opening | None = None
        self._closed = asyncio.Event()
        channel.on_close = self._notice_close
        channel.start_reading()

    async def channel(self) -> AnyChannel:
        """Wait for the destination, then for the main channel."""
        await self._closed.wait()
        self._channel.close()
        self._opening = self._main.connect(self._access)
        return await self._opening.channel()

    def close(self) -> None:
        """Give both up."""
        self._channel.close()
        if self._opening is not None:
            self._opening.close()

    def _notice_close(self, _: Exception | None) -> None:
        self._closed.set()
