"""Netdev `stream`: frames over a unix, TCP or vsock connection, made or awaited.

QEMU: net/stream.c, net/stream_data.c

One connection at a time; clients are told of each that begins and ends. That one cannot be
made is no error of netdev_add.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from qemu_sim.backends.socket_netdev import SocketNetdev
from qemu_sim.errors import QMPError
from qemu_sim.io import address as addresses
from qemu_sim.io import sockets
from qemu_sim.io.listener import Listener

_TELLS_STATE = (8, 0, 0)  # newer than 7.2


class NetdevStream(SocketNetdev):
    """`addr` is a SocketAddress; a client with `reconnect-ms` (or `reconnect`, in s) goes on."""

    TYPE = "stream"

    _listener: Listener | None = None
    _address: addresses.SocketAddress | None = None
    _task: asyncio.Task[None] | None = None

    @property
    def info(self) -> str:
        """The peer, or what it waits for."""
        return self._info

    async def open(self) -> None:
        """Begin to connect or to listen. Raises QMPError for options that cannot be."""
        for key in ("reconnect-ms", "reconnect"):
            if self.options.get(key) and self._server:
                raise QMPError(f"'{key}' option is incompatible with socket in server mode")
        self._opened = True
        try:
            self._address = addresses.from_qapi(self.options["addr"])
            await self._begin()
        except QMPError as error:
            self._failed(error)

    def close(self) -> None:
        """Close the connection, and listen no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            assert not isinstance(self._address, addresses.FdAddress | None)
            sockets.remove_path(self._address)
        super().close()

    @property
    def _server(self) -> bool:
        return bool(self.options.get("server"))

    @property
    def _pause(self) -> float:
        """Seconds until it is tried again, 0 for never."""
        options = self.options
        return float(options.get("reconnect-ms", 0) / 1000 or options.get("reconnect", 0))

    async def _begin(self) -> None:
        if isinstance(self._address, addresses.FdAddress):
            self._take(_inherited(self._address.name))
        elif self._server:
            assert self._address is not None
            self._listener = Listener(sockets.listen(self._address, backlog=0), self._take)
            self._wait()
        else:
            self._call()
            # A unix socket is connected in one turn: before the reply, as in QEMU.
            await asyncio.sleep(0)

    def _wait(self) -> None:
        assert self._listener is not None
        self._say("listening", "")
        self._listener.wait()

    def _call(self, pause: float = 0) -> None:
        self._say("connecting", "")
        self._task = asyncio.get_running_loop().create_task(self._connect(pause))

    async def _connect(self, pause: float) -> None:
        if pause:
            await asyncio.sleep(pause)
        assert not isinstance(self._address, addresses.FdAddress | None)
        while True:
            try:
                sock = await sockets.connect(self._address)
            except QMPError as error:
                if not self._pause:
                    self._failed(error)
                    return
                await asyncio.sleep(self._pause)
            else:
                self._take(sock)
                return

    def _take(self, sock: socket.socket, _peer: object = None) -> None:
        self._use(sock)
        address = _shown(sock, server=self._server)
        self._info = _uri(address)
        self.emit("NETDEV_STREAM_CONNECTED", {"netdev-id": self.id, "addr": address})

    def _ended(self) -> None:
        self._drop()
        self.emit("NETDEV_STREAM_DISCONNECTED", {"netdev-id": self.id})
        if self._listener is not None:
            self._wait()
        elif self._pause:
            self._call(self._pause)
        else:
            self._say(self._info, "")

    def _failed(self, error: QMPError) -> None:
        # QEMU has nothing to say of a socket that cannot be bound.
        bound = str(error).startswith("Failed to bind socket")
        self._say("initializing" if bound else f"error: {error}", "connection error")

    def _say(self, newer: str, older: str) -> None:
        self._info = newer if self.version >= _TELLS_STATE else older


def _inherited(name: str) -> socket.socket:
    """Return the socket that this process was started with. Raises QMPError."""
    try:
        number = int(name)
    except ValueError:
        raise QMPError(f"Unable to parse FD number {name}") from None
    try:
        sock = socket.socket(fileno=number)
    except OSError:
        raise QMPError(f"File descriptor '{name}' is not a socket") from None
    sock.set_inheritable(False)
    return sock


def _shown(sock: socket.socket, *, server: bool) -> dict[str, Any]:
    """Return the SocketAddress that QEMU tells: of a unix socket the one with a name."""
    local = server and sock.family == socket.AF_UNIX
    name = sock.getsockname() if local else sock.getpeername()
    if sock.family == socket.AF_UNIX:
        if isinstance(name, bytes):
            path = os.fsdecode(name.strip(b"\0"))
            return {"abstract": True, "path": path, "type": "unix", "tight": True}
        return {"path": name, "type": "unix"}
    if sock.family == socket.AF_VSOCK:
        return {"port": str(name[1]), "cid": str(name[0]), "type": "vsock"}
    family = {"ipv4": True} if sock.family == socket.AF_INET else {"ipv6": True}
    return {"port": str(name[1]), **family, "host": name[0], "type": "inet"}


def _uri(address: dict[str, Any]) -> str:
    if address["type"] == "unix":
        return f"unix:{address['path']}"
    if address["type"] == "vsock":
        return f"vsock:{address['cid']}:{address['port']}"
    return f"tcp:{address['host']}:{address['port']}"
