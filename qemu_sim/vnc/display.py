"""One VNC display: it listens, knows a password, and has clients.

QEMU: ui/vnc.c, qapi/ui.json

What a client sees is black, and what it types nobody reads: no guest here has a screen. TLS,
SASL, websockets and calling a client are not simulated.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.io import sockets
from qemu_sim.io.address import StreamAddress, absolute
from qemu_sim.vnc.address import basic_info, display_address
from qemu_sim.vnc.client import VncClient
from qemu_sim.vnc.password import check_available

_EXCLUSIVE = "allow-exclusive"
_POLICIES = ("ignore", _EXCLUSIVE, "force-shared")
_MOST_CLIENTS = 32  # that have not come in
_BACKLOG = 1
_UNSIMULATED = ("tls-creds", "tls-authz", "sasl", "sasl-authz", "websocket", "reverse")


class Place(Protocol):
    """What a display needs of its machine."""

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Tell an event."""

    def now(self) -> int:
        """Nanoseconds since the epoch."""

    def secret(self, id: str) -> str:
        """Content of a secret. Raises QMPError in QEMU's words."""

    def check_screen(self, device: str | None, head: int) -> None:
        """Raise QMPError in QEMU's words if no device has that screen."""


class VncDisplay:
    """The display `id`; `title` is that of a client's window."""

    def __init__(self, id: str, title: str, options: Mapping[str, Any], place: Place) -> None:
        """Check `options`, those of -vnc with values of their types. Raises QMPError."""
        self.id = id
        self.title = title
        self.clients: list[VncClient] = []
        self._place = place
        self._password: str | None = None
        self._expires: int | None = None
        self._listeners: list[tuple[socket.socket, StreamAddress]] = []
        self._address = display_address(options["vnc"], options)
        self.auth = "none"
        if "password-secret" in options:
            if options.get("password"):
                raise QMPError("'password' flag is redundant with 'password-secret'")
            self._password = place.secret(options["password-secret"])
        if options.get("password") or self._password is not None:
            check_available()
            self.auth = "vnc"
        _check(options)
        self._policy = _policy(options.get("share", _EXCLUSIVE))
        self._most_connecting = options.get("connections", _MOST_CLIENTS)
        if "display" in options:
            place.check_screen(options["display"], options.get("head", 0))

    @property
    def servers(self) -> list[dict[str, Any]]:
        """The VncServerInfo of each socket that listens."""
        return [
            {"auth": self.auth, **basic_info(sock.getsockname(), sock.family)}
            for sock, _ in self._listeners
        ]

    @property
    def valid_password(self) -> str | None:
        """The password, as long as there is one that has not expired."""
        is_late = self._expires is not None and self._place.now() >= self._expires
        return None if is_late else self._password

    def listen(self) -> None:
        """Begin to listen. Raises QMPError in QEMU's words."""
        self.move([self._address])

    def move(self, addresses: list[StreamAddress]) -> None:
        """Listen elsewhere; who is connected stays. Raises QMPError in QEMU's words."""
        self._stop_listening()
        loop = asyncio.get_running_loop()
        for address in addresses:
            sock = sockets.listen(address, _BACKLOG)
            self._listeners.append((sock, absolute(address)))
            loop.add_reader(sock.fileno(), self._accept, sock)

    def set_password(self, password: str) -> None:
        """Change the password."""
        self._password = password

    def expire_password(self, at: int | None) -> None:
        """Have the password count until `at`, in nanoseconds since the epoch, or for ever."""
        self._expires = at

    def adopt(self, fd: Fd, *, trusted: bool) -> None:
        """Serve who is at the other end of a socket that a client of QMP brought."""
        self._connect(socket.socket(fileno=fd.detach()), trusted=trusted)

    def close(self) -> None:
        """Listen no more, and end all connections."""
        self._stop_listening()
        for client in tuple(self.clients):
            client.close()

    # What clients ask.

    def admits(self, *, shares: bool) -> bool:
        """Whether a client may come in that shares the display with others, or does not."""
        if self._policy == "force-shared":
            return shares
        alone = any(each.shares is False for each in self.clients)
        return not (shares and alone and self._policy == _EXCLUSIVE)

    def came_in(self, client: VncClient) -> None:
        """Tell that a client has come in; one that does not share makes the others leave."""
        self._tell("VNC_INITIALIZED", client)
        if self._policy == _EXCLUSIVE and not client.shares:
            for other in tuple(self.clients):
                if other is not client and other.shares is not None:
                    other.close()

    def left(self, client: VncClient) -> None:
        """Forget a client."""
        self._tell("VNC_DISCONNECTED", client)
        self.clients.remove(client)

    def _tell(self, event: str, client: VncClient) -> None:
        servers = self.servers
        if servers:  # where it listens nowhere QEMU has nothing to tell
            self._place.emit(event, {"server": servers[0], "client": client.info})

    def _stop_listening(self) -> None:
        loop = asyncio.get_running_loop()
        for sock, address in self._listeners:
            loop.remove_reader(sock.fileno())
            sock.close()
            sockets.remove_path(address)
        self._listeners.clear()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client has gone again
            return
        self._connect(sock, trusted=False)

    def _connect(self, sock: socket.socket, *, trusted: bool) -> None:
        client = VncClient(self, sock, trusted=trusted)
        self.clients.append(client)
        self._tell("VNC_CONNECTED", client)
        connecting = [each for each in self.clients if each.shares is None]
        if len(connecting) > self._most_connecting:
            connecting[0].close()
        if client in self.clients:
            client.start()


def _check(options: Mapping[str, Any]) -> None:
    """Raise QMPError for what is not simulated."""
    if "tls-creds" in options:  # no type of object that would be some is simulated
        raise QMPError(f"No TLS credentials with id '{options['tls-creds']}'")
    for key in _UNSIMULATED:
        if options.get(key):
            raise QMPError(f"'{key}' of a VNC display is not simulated by qemu-sim")


def _policy(text: str) -> str:
    if text not in _POLICIES:
        raise QMPError("unknown vnc share= option")
    return text
