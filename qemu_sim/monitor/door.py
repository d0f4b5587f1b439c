"""Where the clients of one monitor come in: a socket, opened before there is an event loop.

QEMU: chardev/char-socket.c, monitor/qmp.c (monitor_qmp_setup_handlers_bh)

Loading an event loop, and what needs one, takes longer than all the rest of a start. A
client that is called is greeted before that, and others find a socket that listens.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

from qemu_sim.io import address as addresses
from qemu_sim.io import sockets

if TYPE_CHECKING:
    from qemu_sim.wire.qmp import Session


class Door:
    """A socket that listens, or is connected to the only client there will ever be."""

    def __init__(
        self,
        sock: socket.socket,
        address: addresses.SocketAddress,
        *,
        listens: bool,
        bound: addresses.StreamAddress | None = None,
    ) -> None:
        """Own `sock`; `bound` is what this process bound itself and removes at the end."""
        self._sock: socket.socket | None = sock
        self.address = address
        self.listens = listens
        self.is_local = sock.family == socket.AF_UNIX
        self.bound = bound
        self.session: Session | None = None

    def greet(self, session: Session) -> None:
        """Send the first words of `session` to the client; the rest of it is a monitor's."""
        assert self._sock is not None
        assert not self.listens
        self.session = session
        # One that has gone already will be noticed by who reads next.
        with contextlib.suppress(OSError):
            self._sock.sendall(session.take_output())

    def take(self) -> socket.socket:
        """Give the socket away."""
        sock, self._sock = self._sock, None
        assert sock is not None
        return sock

    def close(self) -> None:
        """Close the socket, unless it was taken."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
            if self.bound is not None:
                sockets.remove_path(self.bound)


def open_door(address: addresses.SocketAddress, *, server: bool) -> Door | None:
    """Listen at `address`, or connect to it; a descriptor may be either already.

    None where connecting may take its time. Raises QMPError in QEMU's words.
    """
    if isinstance(address, addresses.FdAddress):
        sock = sockets.inherited(address)
        return Door(sock, sockets.bound_as(sock), listens=server)
    if server:
        return Door(sockets.listen(address), address, listens=True, bound=address)
    if isinstance(address, addresses.UnixAddress):
        return Door(sockets.connect_unix(address), address, listens=False)
    return None


def calls_again(backend: dict[str, Any]) -> bool:
    """Whether a ChardevBackend of type socket connects whenever the other end is there."""
    return any(backend.get("data", {}).get(key) for key in ("reconnect", "reconnect-ms"))


def backend_address(backend: dict[str, Any]) -> tuple[addresses.SocketAddress, bool]:
    """Return the address of a ChardevBackend of type socket, and whether it is a server."""
    legacy = backend["data"]["addr"]
    address = addresses.from_qapi({"type": legacy["type"], **legacy["data"]})
    return address, backend["data"].get("server", True)
