"""The other end of a migration channel: nobody but the same user (or root) is talked to.

Linux: unix(7), SO_PEERCRED; other kinds of sockets tell nothing about their user.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from qemu_sim.errors import MigrationError
from qemu_sim.io import address as addresses
from qemu_sim.io.readable import readable

if TYPE_CHECKING:
    import socket

    from qemu_sim.io.address import InetAddress, UnixAddress

_STRANGER = "the peer of the migration channel belongs to another user"
_log = logging.getLogger(__name__)


async def connect(address: UnixAddress | InetAddress, *, check: bool) -> socket.socket:
    """Connect to a destination. Raises MigrationError if it is a stranger's, and `check`."""
    sock = await addresses.connect(address)
    if check and not addresses.trusted_peer(sock):
        sock.close()
        raise MigrationError(_STRANGER)
    return sock


async def accept(
    listener: socket.socket, address: UnixAddress | InetAddress, *, check: bool
) -> socket.socket:
    """Accept one source, and close `listener`: a second source finds nobody.

    With `check` strangers are turned away, and the source may still come.
    """
    try:
        while True:
            # Not sock_accept: cancelled when it has accepted already, it would lose the socket.
            await readable(listener.fileno())
            try:
                sock, _ = listener.accept()
            except BlockingIOError:  # it left again
                continue
            sock.setblocking(False)
            if not check or addresses.trusted_peer(sock):
                return sock
            sock.close()
            _log.warning("%s: turned away", _STRANGER)
    finally:
        listener.close()
        addresses.remove_path(address)
