"""Socket addresses: the QAPI SocketAddress, and the legacy URI.

QEMU: qapi/sockets.json, util/qemu-sockets.c
"""

import os
import socket
from typing import Any, NamedTuple

from qemu_sim.errors import QMPError
from qemu_sim.host_path import host_path

_UNIX_PATH_MAX = 107  # sizeof(sun_path) - 1, Linux include/uapi/linux/un.h
_INET_NOT_SIMULATED = ("keep-alive", "mptcp")


class UnixAddress(NamedTuple):
    """A path in the file system, or an `abstract` name; a `tight` one is not padded."""

    path: str
    abstract: bool = False
    tight: bool = True

    @property
    def name(self) -> bytes:
        """The name that a socket is bound to. Raises QMPError for one that is too long."""
        path = host_path(self.path)
        if len(path) > _UNIX_PATH_MAX:
            raise QMPError(f"UNIX socket path '{self.path}' is too long")
        if not self.abstract:
            return path
        name = b"\0" + path
        return name if self.tight else name.ljust(_UNIX_PATH_MAX + 1, b"\0")

    def to_qapi(self) -> dict[str, Any]:
        """Return the QAPI SocketAddress."""
        abstract = {"abstract": True, "tight": self.tight} if self.abstract else {}
        return {"type": "unix", "path": self.path, **abstract}

    def __str__(self) -> str:
        tight = ",tight=on" if self.tight else ""
        return f"unix:{self.path}" + (f",abstract=on{tight}" if self.abstract else "")


class InetAddress(NamedTuple):
    """A TCP host and port, both strings as in QAPI.

    A listener takes the first free port up to `to`. `ipv4` and `ipv6` are as in QAPI, too.
    """

    host: str
    port: str
    to: int | None = None
    ipv4: bool | None = None
    ipv6: bool | None = None

    @property
    def family(self) -> int:
        """AF_INET, AF_INET6 or, for either, AF_UNSPEC. Raises QMPError where none is left."""
        if self.ipv4 is False and self.ipv6 is False:
            raise QMPError("Cannot disable IPv4 and IPv6 at same time")
        if self.ipv4 is False or (self.ipv6 and not self.ipv4):
            return socket.AF_INET6
        if self.ipv6 is False or (self.ipv4 and not self.ipv6):
            return socket.AF_INET
        return socket.AF_UNSPEC

    def to_qapi(self) -> dict[str, Any]:
        """Return the QAPI SocketAddress."""
        return {"type": "inet", "host": self.host, "port": self.port}

    def __str__(self) -> str:
        return f"tcp:{self.host}:{self.port}"


class FdAddress(NamedTuple):
    """A descriptor by number or by the name `getfd` gave it."""

    name: str

    def to_qapi(self) -> dict[str, Any]:
        """Return the QAPI SocketAddress."""
        return {"type": "fd", "str": self.name}

    def __str__(self) -> str:
        return f"fd:{self.name}"


class VsockAddress(NamedTuple):
    """A virtual machine's context ID and a port, both strings as in QAPI. Linux: vsock(7)."""

    cid: str
    port: str

    def to_qapi(self) -> dict[str, Any]:
        """Return the QAPI SocketAddress."""
        return {"type": "vsock", "cid": self.cid, "port": self.port}

    def __str__(self) -> str:
        return f"vsock:{self.cid}:{self.port}"


StreamAddress = UnixAddress | InetAddress | VsockAddress
SocketAddress = StreamAddress | FdAddress


def unix_address(path: str) -> UnixAddress:
    """Check a socket path. Raises QMPError in QEMU's words."""
    address = UnixAddress(path)
    _ = address.name
    return address


def inet_address(text: str) -> InetAddress:
    """Read `HOST:PORT` or `[IPV6]:PORT`. Raises QMPError in QEMU's words."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise QMPError(f"host in IPv6 format must be in square brackets: '{text}'")
    if not colon or not port:
        raise QMPError(f"error parsing address '{text}'")
    port, comma, options = port.partition(",")
    if comma:
        raise QMPError(f"address option '{options}' is not simulated by qemu-sim")
    return InetAddress(host, port)


def vsock_address(text: str) -> VsockAddress:
    """Read `CID:PORT`. Raises QMPError in QEMU's words; the numbers are read when used."""
    cid, _, port = text.partition(":")
    if not cid or not port:
        raise QMPError(f"error parsing address '{text}'")
    return VsockAddress(cid, port)


def from_qapi(address: dict[str, Any]) -> SocketAddress:
    """Read a (flat) QAPI SocketAddress that was already checked against the schema."""
    kind = address["type"]
    if kind == "unix":
        unix = UnixAddress(
            address["path"], address.get("abstract", False), address.get("tight", True)
        )
        _ = unix.name
        return unix
    if kind == "inet":
        refused = next((key for key in _INET_NOT_SIMULATED if address.get(key)), None)
        if refused is not None:
            raise QMPError(f"'{refused}' of a socket address is not simulated by qemu-sim")
        how = (address.get(key) for key in ("to", "ipv4", "ipv6"))
        return InetAddress(address["host"], address["port"], *how)
    if kind == "fd":
        return FdAddress(address["str"])
    if kind == "vsock":
        return VsockAddress(address["cid"], address["port"])
    raise QMPError(f"socket address type '{kind}' is not simulated by qemu-sim")


def absolute(address: StreamAddress) -> StreamAddress:
    """Return an address that stays right when the working directory changes, as a daemon's does."""
    if isinstance(address, UnixAddress) and not address.abstract:
        return address._replace(path=os.path.abspath(address.path))
    return address
