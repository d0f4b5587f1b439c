"""Where a migration goes: `uri` or `channels`, as one transport.

QEMU: migration/migration.c (migrate_uri_parse), qapi/migration.json (MigrationAddress)
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.io import address as addresses
from qemu_sim.io.address import FdAddress, InetAddress
from qemu_sim.migration.transports.exec import ExecTransport
from qemu_sim.migration.transports.fd import FdTransport
from qemu_sim.migration.transports.file import FileTransport
from qemu_sim.migration.transports.rdma import RdmaTransport
from qemu_sim.migration.transports.socket import SocketTransport
from qemu_sim.qapi.sizes import parse_size

if TYPE_CHECKING:
    from qemu_sim.migration.transport import Transport

Version = tuple[int, int, int]

CHANNELS_SINCE = (8, 2, 0)
"""From here on a URI becomes channels first: it is read before anything has begun."""
_OFFSET = ",offset="


class UnknownProtocolError(QMPError):
    """A URI whose beginning names no transport."""


def parse(uri: str | None, channels: list[dict[str, Any]] | None, version: Version) -> Transport:
    """Return the transport of the main channel. Raises QMPError in QEMU's words."""
    if (uri is None) == (not channels):
        raise QMPError("need either 'uri' or 'channels' argument")
    if uri is not None:
        return _parse_uri(uri, version)
    assert channels is not None
    return _parse_channels(channels)


def _parse_uri(uri: str, version: Version) -> Transport:
    kind, colon, rest = uri.partition(":")
    old = version < CHANNELS_SINCE
    if kind == "exec" and colon:
        return ExecTransport.of_shell(rest)
    if kind == "fd" and (rest or (colon and old)):
        return FdTransport(rest)
    if kind == "fd" and colon:
        raise QMPError("invalid file descriptor address")
    if kind == "rdma" and colon:
        return RdmaTransport(_rdma_address(rest, old=old))
    if kind == "file" and colon and not old:
        return _file(rest)
    if kind in ("tcp", "unix", "vsock") and colon:
        return SocketTransport(_socket_address(kind, rest))
    raise UnknownProtocolError(f"unknown migration protocol: {uri}")


def _socket_address(kind: str, text: str) -> addresses.StreamAddress:
    if kind == "tcp":
        return addresses.inet_address(text)
    if kind == "vsock":
        return addresses.vsock_address(text)
    if not text:
        raise QMPError("invalid Unix socket address")
    # A path that is too long fails where it is used: the migration, not the command.
    return addresses.UnixAddress(text)


def _rdma_address(text: str, *, old: bool) -> InetAddress:
    try:
        return addresses.inet_address(text)
    except QMPError:
        if old:
            raise QMPError(f"RDMA ERROR: bad RDMA migration address '{text}'") from None
        raise


def _file(text: str) -> FileTransport:
    name, option, offset = text.partition(_OFFSET)
    if not option:
        return FileTransport(name, 0)
    try:
        return FileTransport(name, parse_size("offset", offset))
    except QMPError as error:
        number = errno.ERANGE if "out of range" in str(error) else errno.EINVAL
        raise QMPError(f"file URI has bad offset {offset}: {os.strerror(number)}") from None


def _parse_channels(channels: list[dict[str, Any]]) -> Transport:
    kinds = [channel["channel-type"] for channel in channels]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise QMPError(f"Channel list has more than one {kind} entry")
    if "main" not in kinds:  # QEMU 11.1.3 dies of it
        raise QMPError("Channel list has no main entry")
    return _from_qapi(channels[kinds.index("main")]["addr"])


def _from_qapi(address: dict[str, Any]) -> Transport:
    transport = address["transport"]
    if transport == "exec":
        if not address["args"]:  # QEMU 11.1.3 dies of it
            raise QMPError("an exec channel needs a program in 'args'")
        return ExecTransport(tuple(address["args"]))
    if transport == "file":
        return FileTransport(address["filename"], address["offset"])
    if transport == "rdma":
        return RdmaTransport(InetAddress(address["host"], address["port"]))
    found = addresses.from_qapi(address)
    return FdTransport(found.name) if isinstance(found, FdAddress) else SocketTransport(found)
