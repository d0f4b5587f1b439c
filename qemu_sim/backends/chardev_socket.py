"""Chardev `socket`: a unix or TCP connection, made or awaited.

QEMU: chardev/char-socket.c

One connection at a time. `take` hands the connected socket to the front end that uses
it, a vhost-user device for instance; the chardev remembers how to name it. A lost
connection is not made again by itself.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.io import address as addresses


class ChardevSocket(Chardev):
    """`addr` is a SocketAddressLegacy, `server` and `wait` are as in ChardevSocket."""

    TYPE = "socket"

    def __init__(self, id: str, options: dict[str, Any], fds: Sequence[Fd] = ()) -> None:
        super().__init__(id, options, fds)
        legacy = options["addr"]
        self.address = addresses.from_qapi({"type": legacy["type"], **legacy["data"]})
        self.server: bool = options.get("server", True)
        # A front end on a listening chardev waits for its client in any case.
        self.wait: bool = self.server and options.get("wait", False)
        self._listener: socket.socket | None = None
        self._connected: asyncio.Future[socket.socket] | None = None
        self._name: str | None = None
        self._bound: addresses.StreamAddress | None = None

    @property
    def is_open(self) -> bool:
        """Whether it listens or was connected."""
        return self._listener is not None or self._connected is not None

    @property
    def is_unix(self) -> bool:
        """Whether descriptors can be passed."""
        if self._name is not None:
            return self._name.startswith("unix:")
        return not isinstance(self.address, addresses.InetAddress | addresses.VsockAddress)

    @property
    def filename(self) -> str:
        """The address, `disconnected:` before it while there is no connection."""
        if self._name is not None:
            return self._name
        suffix = ",server=on" if self.server else ""
        if self._listener is not None:
            bound = addresses.bound_address(self._listener)
            name = f"tcp:{_join(bound['host'], bound['port'])}" if "host" in bound else None
            return f"disconnected:{name or self.address}{suffix}"
        return f"disconnected:{self.address}{suffix}"

    async def open(self) -> None:
        """Connect, or listen. With `wait` it returns once a client is there.

        Raises QMPError in QEMU's words.
        """
        if self._given:
            self._use_given(self._given.pop())
        elif isinstance(self.address, addresses.FdAddress):
            raise QMPError(f"File descriptor named '{self.address.name}' has not been found")
        elif self.server:
            self._listen(addresses.listen(self.address))
            self._bound = addresses.absolute(self.address)
        else:
            self._use(await addresses.connect(self.address))
        if self.wait and self._connected is not None:
            await asyncio.shield(self._connected)

    async def take(self) -> Fd:
        """Give the connected socket away, as soon as there is one."""
        if self._connected is None:
            raise QMPError(f"chardev '{self.id}' is not open")
        sock = await asyncio.shield(self._connected)
        if sock.fileno() < 0:
            raise QMPError(f"the connection of chardev '{self.id}' is in use already")
        return Fd(sock.detach())

    def adopted(self) -> None:
        """Note that a front end was handed a connection of this chardev by another process."""
        self._name = f"unix:{',server=on' if self.server else ''}"

    def disconnected(self) -> None:
        """Note that the connection which a front end had has ended; a server takes the next."""
        self._name = self._connected = None
        if self._listener is not None:
            self._listen(self._listener)

    @property
    def can_yank(self) -> bool:
        """Whether there may be a connection: always, as one may come."""
        return True

    def yank(self) -> None:
        """Cut the connection. Raises QMPError where a device has taken it."""
        if self._connected is None or not self._connected.done():
            return
        sock = self._connected.result()
        if sock.fileno() < 0:
            raise QMPError(f"yank of chardev '{self.id}' in use is not simulated by qemu-sim")
        sock.close()
        self.disconnected()

    def close(self) -> None:
        """Stop listening, drop a connection that nobody took; remove the unix socket."""
        super().close()
        self._name = None
        if self._listener is not None:
            self._stop_listening()
            if self._bound is not None:
                addresses.remove_path(self._bound)
        if self._connected is not None:
            if self._connected.done() and not self._connected.cancelled():
                self._connected.result().close()
            self._connected.cancel()
            self._connected = None

    def _use_given(self, fd: Fd) -> None:
        sock = socket.socket(fileno=fd.detach())
        sock.setblocking(False)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self._listen(sock)
        else:
            self._use(sock)

    def _listen(self, listener: socket.socket) -> None:
        self._listener = listener
        loop = asyncio.get_running_loop()
        self._connected = loop.create_future()
        loop.add_reader(listener.fileno(), self._accept)

    def _accept(self) -> None:
        """Take the first client; a second one waits in the listener's queue."""
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        sock.setblocking(False)
        self._use(sock)

    def _use(self, sock: socket.socket) -> None:
        if self._connected is None:
            self._connected = asyncio.get_running_loop().create_future()
        self._name = _connected_name(sock, self.server)
        self._connected.set_result(sock)

    def _stop_listening(self) -> None:
        assert self._listener is not None
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()
        self._listener = None


def _connected_name(sock: socket.socket, server: bool) -> str:
    """Name a connection by its local end, as QEMU does: a unix client's has no name."""
    suffix = ",server=on" if server else ""
    local, peer = sock.getsockname(), sock.getpeername()
    if sock.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(local)}{suffix}"
    return f"tcp:{_join(*local[:2])}{suffix} <-> {_join(*peer[:2])}"


def _join(host: str, port: int | str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
