"""Over a socket: `unix:PATH`, `tcp:HOST:PORT`, `vsock:CID:PORT`.

QEMU: migration/socket.c

Nobody but the same user (or root) is talked to. Linux: unix(7), SO_PEERCRED; other kinds
of sockets tell nothing about their user.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError
from qemu_sim.io import address as addresses
from qemu_sim.io import sockets
from qemu_sim.io.channel import Channel
from qemu_sim.io.readable import readable

if TYPE_CHECKING:
    from qemu_sim.io.address import StreamAddress
    from qemu_sim.migration.transport import Access

STRANGER = "the peer of the migration channel belongs to another user"
_log = logging.getLogger(__name__)


class SocketTransport:
    """Where to connect or to listen."""

    NAME = "socket"
    can_be_many = True
    can_seek = False

    def __init__(self, address: StreamAddress) -> None:
        self.address = address
        self.can_carry_fds = isinstance(address, addresses.UnixAddress)

    def connect(self, access: Access) -> Connecting:
        """Connect later: what goes wrong fails the migration, not the command."""
        return Connecting(self, check_peer=access.check_peer)

    def listen(self, access: Access) -> Listening:
        """Bind and listen."""
        return Listening(self, access)


class Connecting:
    """A source's connection."""

    def __init__(self, transport: SocketTransport, *, check_peer: bool) -> None:
        self._address = transport.address
        self._check_peer = check_peer

    async def channel(self) -> Channel:
        """Connect. Raises MigrationError for a stranger's destination."""
        sock = await sockets.connect(self._address)
        if self._check_peer and not sockets.trusted_peer(sock):
            sock.close()
            raise MigrationError(STRANGER)
        return Channel(sock)

    def close(self) -> None:
        """Nothing is open before somebody waits."""


class Listening:
    """A destination's listening socket."""

    def __init__(self, transport: SocketTransport, access: Access) -> None:
        self._awaited = access.channels
        self._listener: socket.socket | None = sockets.listen(transport.address, self._awaited)
        self._address = addresses.absolute(transport.address)
        self._check_peer = access.check_peer
        self.bound: list[dict[str, Any]] = [sockets.bound_address(self._listener)]

    async def channel(self) -> Channel:
        """Accept the source, once for each channel, and then listen no more.

        A second source finds nobody. Strangers are turned away, and the source may still come.
        """
        assert self._listener is not None
        self._awaited -= 1
        is_last = not self._awaited
        try:
            while True:
                # Not sock_accept: cancelled when it has accepted, it would lose the socket.
                await readable(self._listener.fileno())
                try:
                    sock, _ = self._listener.accept()
                except BlockingIOError:  # it left again
                    continue
                if not self._check_peer or sockets.trusted_peer(sock):
                    return Channel(sock)
                sock.close()
                _log.warning("%s: turned away", STRANGER)
        except BaseException:
            is_last = True
            raise
        finally:
            if is_last:
                self.close()

    def close(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            sockets.remove_path(self._address)
