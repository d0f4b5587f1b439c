"""Chardev `socket`: a unix or TCP connection, made or awaited.

QEMU: chardev/char-socket.c

One connection at a time. `take` hands the connected socket to the front end that uses
it, a vhost-user device for instance; the chardev remembers how to name it. That the peer
of a unix socket is gone is noticed while nothing it sent is left; of a TCP connection it
is not, which is as in QEMU.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from qemu_sim.backends.chardev import Chardev
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.io import address as addresses
from qemu_sim.io import sockets
from qemu_sim.io.listener import Listener

_log = logging.getLogger(__name__)

_NAMES_PEER = (8, 0, 0)  # since when a unix client is named by whom it called
# What a server of these protocols says first; QEMU: tcp_chr_telnet_init.
_OPENINGS = {
    "telnet": bytes.fromhex("fffb01 fffb03 fffb00 fffd00"),
    "tn3270": bytes.fromhex("fffd19 fffb19 fffd00 fffb00 fffd18 fffa1801fff0"),
}


class ChardevSocket(Chardev):
    """`addr` is a SocketAddressLegacy, the others are as in ChardevSocket.

    Who is connected with `reconnect` (s) or `reconnect-ms` is called again, and need not be
    there at first. `telnet` and `tn3270` are opened as QEMU does, and not spoken any further.
    """

    TYPE = "socket"
    TRAVELS = True

    def __init__(self, id: str, options: dict[str, Any], fds: Sequence[Fd] = ()) -> None:
        super().__init__(id, options, fds)
        _check(options)
        legacy = options["addr"]
        self.address = addresses.from_qapi({"type": legacy["type"], **legacy["data"]})
        self.server: bool = options.get("server", True)
        # A front end on a listening chardev waits for its client in any case.
        self.wait: bool = self.server and options.get("wait", False)
        self._listener: Listener | None = None
        self._connected: asyncio.Future[socket.socket] | None = None
        self._pause: float = options.get("reconnect-ms", 0) / 1000 or options.get("reconnect", 0)
        self._calling: asyncio.Task[None] | None = None
        self._watched: socket.socket | None = None
        self._name: str | None = None
        self._bound: addresses.StreamAddress | None = None
        self.cut: Callable[[], None] | None = None  # how who has taken the connection ends it

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
            bound = sockets.bound_address(self._listener.sock)
            if "host" in bound:
                return f"disconnected:{self._protocol}:{bound['host']}:{bound['port']}{suffix}"
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
            self._listen(sockets.listen(self.address))
            self._bound = addresses.absolute(self.address)
        elif self._pause:
            self._call()
        else:
            self._use(await sockets.connect(self.address))
        if self.wait and self._connected is not None:
            self.tell_wait(self.filename)
            await asyncio.shield(self._connected)

    async def take(self) -> Fd:
        """Give the connected socket away, as soon as there is one."""
        if self._connected is None:
            raise QMPError(f"chardev '{self.id}' is not open")
        sock = await asyncio.shield(self._connected)
        self._unwatch()
        if sock.fileno() < 0:
            raise QMPError(f"the connection of chardev '{self.id}' is in use already")
        return Fd(sock.detach())

    def give_back(self, fd: Fd) -> None:
        """Keep a connection that was taken; the next who takes one gets it."""
        sock = socket.socket(fileno=fd.detach())
        sock.setblocking(False)
        self._connected = None
        self._keep(sock)

    def adopted(self) -> None:
        """Note that a front end was handed a connection of this chardev by another process."""
        self._name = f"unix:{',server=on' if self.server else ''}"

    def disconnected(self) -> None:
        """Note that the connection which a front end had has ended; a server takes the next."""
        self._name = self._connected = None
        if self._listener is not None:
            self._wait(self._listener)
        elif self._pause:
            self._call(self._pause)

    def send(self, data: bytes) -> None:
        """Send `data` over the connection, if there is one that no front end has taken."""
        if self._connected is None or not self._connected.done():
            return
        sock = self._connected.result()
        if sock.fileno() >= 0:
            try:
                sock.send(data)
            except BlockingIOError:
                return
            except OSError:
                self.yank()

    @property
    def can_yank(self) -> bool:
        """Whether there may be a connection: always, as one may come."""
        return True

    def yank(self) -> None:
        """Cut the connection. Raises QMPError where a device has taken it."""
        if self._connected is None or not self._connected.done():
            return
        sock = self._connected.result()
        if sock.fileno() < 0 and self.cut is not None:
            self.cut()
            return
        if sock.fileno() < 0:
            raise QMPError(f"yank of chardev '{self.id}' in use is not simulated by qemu-sim")
        self._unwatch()
        sock.close()
        self.disconnected()

    def close(self) -> None:
        """Stop listening, drop a connection that nobody took; remove the unix socket."""
        super().close()
        self._name = None
        self._unwatch()
        if self._calling is not None:
            self._calling.cancel()
            self._calling = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            if self._bound is not None:
                sockets.remove_path(self._bound)
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
        self._listener = Listener(listener, self._use)
        self._wait(self._listener)

    def _wait(self, listener: Listener) -> None:
        self._connected = asyncio.get_running_loop().create_future()
        listener.wait()

    def _use(self, sock: socket.socket, _peer: object = None) -> None:
        self._keep(sock)
        for protocol, opening in _OPENINGS.items():
            if self.options.get(protocol):
                self.send(opening)

    def _keep(self, sock: socket.socket) -> None:
        if self._connected is None:
            self._connected = asyncio.get_running_loop().create_future()
        self._name = self._connected_name(sock)
        self._connected.set_result(sock)
        if sock.family == socket.AF_UNIX:
            self._watched = sock
            asyncio.get_running_loop().add_reader(sock.fileno(), self._look)

    def _look(self) -> None:
        """See whether the peer is gone; what it said is left for who takes the connection."""
        assert self._watched is not None
        try:
            gone = not self._watched.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        self._unwatch()
        if gone:
            self.yank()

    def _unwatch(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched.fileno())
            self._watched = None

    def _call(self, pause: float = 0) -> None:
        """Connect as soon as the other end is there, but not before a pause."""
        loop = asyncio.get_running_loop()
        self._connected = loop.create_future()
        self._calling = loop.create_task(self._keep_calling(pause))

    async def _keep_calling(self, pause: float) -> None:
        if pause:
            await asyncio.sleep(pause)
        assert not isinstance(self.address, addresses.FdAddress)
        told = False
        while True:
            try:
                sock = await sockets.connect(self.address)
            except QMPError as error:
                if not told:
                    _log.error("Unable to connect character device %s: %s", self.id, error)
                told = True
                await asyncio.sleep(self._pause)
            else:
                break
        self._calling = None
        self._use(sock)

    @property
    def _protocol(self) -> str:
        return "telnet" if self.options.get("telnet") else "tcp"

    def _connected_name(self, sock: socket.socket) -> str:
        """Name a connection by its ends; of a unix socket QEMU shows one."""
        suffix = ",server=on" if self.server else ""
        local, peer = sock.getsockname(), sock.getpeername()
        if sock.family == socket.AF_UNIX:
            shown = peer if not self.server and self.version >= _NAMES_PEER else local
            return f"unix:{'' if isinstance(shown, bytes) else shown}{suffix}"
        return f"{self._protocol}:{_join(*local[:2])}{suffix} <-> {_join(*peer[:2])}"


def _check(options: dict[str, Any]) -> None:
    """Raise QMPError, in QEMU's words or our own, for options that cannot be had."""
    server = options.get("server", True)
    for key in ("reconnect", "reconnect-ms"):
        if options.get(key) and server:
            raise QMPError(f"'{key}' option is incompatible with socket in server listen mode")
    if "wait" in options and not server:
        raise QMPError("'wait' option is incompatible with socket in client connect mode")
    if "tls-authz" in options and "tls-creds" not in options:
        raise QMPError("'tls_authz' option requires 'tls_creds' option")
    if options.get("websocket") and not server:
        raise QMPError("Websocket client is not implemented")
    if "tls-creds" in options:  # no type of object that would be some is simulated
        raise QMPError(f"No TLS credentials with id '{options['tls-creds']}'")
    if options.get("websocket"):
        raise QMPError("'websocket' of a chardev is not simulated by qemu-sim")


def _join(host: str, port: int | str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
