"""Netdev `dgram`: each frame is a datagram, to another socket or to a multicast group.

QEMU: net/dgram.c
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from qemu_sim.backends.multicast import is_group, multicast_socket
from qemu_sim.backends.socket_netdev import SocketNetdev
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd

_FAMILIES = {socket.AF_UNIX: "unix", socket.AF_INET: "inet", socket.AF_INET6: "inet"}
_NEWER = (8, 0, 0)  # than 7.2: what is said of a bad descriptor
_MOST_PORTS = 65535


class NetdevDgram(SocketNetdev):
    """`local` and `remote` are SocketAddresses of type inet, unix or, `local` only, fd."""

    TYPE = "dgram"

    _path: str | None = None

    async def open(self) -> None:
        """Make the socket. Raises QMPError in QEMU's words."""
        local, remote = self.options.get("local"), self.options.get("remote")
        if remote is not None and remote["type"] == "inet" and is_group(remote["host"]):
            self._join(local, remote)
        elif local is None:
            raise QMPError("dgram requires local= parameter")
        elif local["type"] == "fd":
            self._use_descriptor(local["str"], remote)
        else:
            self._connect(local, remote)
        self._opened = True

    def close(self) -> None:
        """Close the socket and remove its path."""
        super().close()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            self._path = None

    def _join(self, local: dict[str, Any] | None, remote: dict[str, Any]) -> None:
        group = (remote["host"], _port(remote["port"]))
        interface = None if local is None else local.get("host")
        if interface is not None:
            try:
                socket.inet_aton(interface)
            except OSError:
                raise QMPError(f"localaddr '{interface}' is not a valid IPv4 address") from None
        self._use(multicast_socket(group, interface), group)
        self._info = f"mcast={group[0]}:{group[1]}"

    def _use_descriptor(self, name: str, remote: dict[str, Any] | None) -> None:
        if remote is not None:
            raise QMPError("don't set remote with local.fd")
        if self._given:
            sock = socket.socket(fileno=self._given.pop().detach())
        else:
            sock = self._inherited(name)
        self._use(sock)
        shown = name if name.isdigit() else sock.fileno()
        self._info = f"fd={shown} {_FAMILIES.get(sock.family, 'inet')}"

    def _inherited(self, name: str) -> socket.socket:
        if not name.isdigit():
            raise QMPError(f"File descriptor named '{name}' has not been found")
        try:
            return socket.socket(fileno=Fd.duplicate(int(name)).detach())
        except OSError as error:
            why = error.strerror
            newer = f"Can't set file descriptor {name} non-blocking: {why}: {why}"
            older = f"{self.id}: Can't use file descriptor {name}: {why}"
            raise QMPError(newer if self.version >= _NEWER else older) from None

    def _connect(self, local: dict[str, Any], remote: dict[str, Any] | None) -> None:
        if remote is None or local["type"] not in ("inet", "unix"):
            raise QMPError("type=inet or type=unix requires remote parameter")
        if local["type"] != remote["type"]:
            raise QMPError("remote and local types must be the same")
        unix = local["type"] == "unix"
        family = socket.AF_UNIX if unix else socket.AF_INET
        own, target = _target(local), _target(remote)
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if unix:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(local["path"])
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(own)
        except OSError as error:
            sock.close()
            where = f"unix={local['path']}" if unix else f"ip={own[0]}"
            why = os.strerror(error.errno or 0)
            raise QMPError(f"can't bind {where} to socket: {why}") from None
        self._path = local["path"] if unix else None
        self._use(sock, target)
        shown = (local["path"], remote["path"]) if unix else tuple(map(_join, (own, target)))
        self._info = f"udp={shown[0]}{':' if unix else '/'}{shown[1]}"


def _target(address: dict[str, Any]) -> Any:
    """Return where the socket module finds an address. Raises QMPError in QEMU's words."""
    if address["type"] == "unix":
        return address["path"]
    host, port = address["host"], _port(address["port"])
    try:
        return (socket.gethostbyname(host) if host else "0.0.0.0"), port  # noqa: S104 - QEMU's
    except OSError:
        raise QMPError(f"can't resolve host address '{host}': Unknown host") from None


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > _MOST_PORTS:
        raise QMPError(f"port number '{text}' is invalid")
    return int(text)


def _join(place: tuple[str, int]) -> str:
    return f"{place[0]}:{place[1]}"
