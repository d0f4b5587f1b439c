"""Stream sockets at an address: connected, listening, or inherited.

QEMU: util/qemu-sockets.c, io/channel-socket.c
"""

from __future__ import annotations

import os
import socket
import stat
from typing import Any

from qemu_sim.errors import QMPError
from qemu_sim.host_path import host_path
from qemu_sim.io.address import FdAddress, InetAddress, StreamAddress, UnixAddress, VsockAddress
from qemu_sim.io.credentials import peer_credentials

_NUL = os.fsdecode(host_path("\0"))  # as the kernel tells it
_UINT32_MAX = (1 << 32) - 1
_NO_NAME = "Name or service not known"


async def connect(address: StreamAddress) -> socket.socket:
    """Connect a non-blocking stream socket, to the first address of a host that answers.

    Raises QMPError `Failed to connect to '…': …`, as QEMU words it.
    """
    import asyncio  # noqa: PLC0415 - a start opens addresses before it has a loop

    failure = OSError()
    for family, target in await _targets(address):
        sock = _stream_socket(family)
        try:
            if family in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, target)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:  # cancelled
            sock.close()
            raise
        else:
            return sock
    raise _unconnected(address, failure)


def connect_unix(address: UnixAddress) -> socket.socket:
    """Connect to a path, which takes no time. Raises QMPError as `connect` does."""
    sock = _stream_socket(socket.AF_UNIX)
    try:
        sock.connect(address.name)
    except OSError as error:
        sock.close()
        raise _unconnected(address, error) from None
    return sock


def listen(address: StreamAddress, backlog: int = 1) -> socket.socket:
    """Bind and listen, at the first address of a host that is free.

    A unix socket is 0600 from birth and replaces a stale file.
    Raises QMPError `Failed to bind socket to …: …`, as QEMU words it.
    """
    if isinstance(address, UnixAddress):
        return _listen_unix(address, backlog)
    if isinstance(address, VsockAddress):
        return _listen_vsock(address, backlog)
    try:
        found = socket.getaddrinfo(
            *(address.host or None, address.port, address.family),
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except (socket.gaierror, UnicodeError) as error:
        raise _unresolved(address, error) from None
    failure = OSError()
    for family, _, _, _, (host, first, *scope) in found:
        for port in range(int(first), max(int(first), address.to or 0) + 1):
            sock = _stream_socket(family)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host, port, *scope))
                sock.listen(backlog)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
    raise QMPError(f"Failed to find an available port: {os.strerror(failure.errno or 0)}")


def inherited(address: FdAddress) -> socket.socket:
    """Own a socket that this process was started with. Raises QMPError if it has none."""
    try:
        number = int(address.name)
        os.fstat(number)
        sock = socket.socket(fileno=number)
    except (ValueError, OSError):
        raise QMPError(f"File descriptor '{address.name}' is not a socket") from None
    # Programs that this process starts must not get it.
    sock.set_inheritable(False)
    return sock


def bound_as(sock: socket.socket) -> UnixAddress | InetAddress:
    """Return the local end of a socket that came as a descriptor."""
    if sock.family == socket.AF_UNIX:
        return _unix_name(sock)
    name = sock.getsockname()
    return InetAddress(name[0], str(name[1]))


def remove_path(address: StreamAddress) -> None:
    """Remove the file of a unix socket that listens no more."""
    if isinstance(address, UnixAddress) and not address.abstract:
        _remove_socket(address.path)


def trusted_peer(sock: socket.socket) -> bool:
    """Whether a unix peer is of our own uid or root; other kinds of peer cannot be asked."""
    credentials = peer_credentials(sock)
    return credentials is None or credentials[1] in (0, os.geteuid())


def bound_address(sock: socket.socket) -> dict[str, Any]:
    """Return the QAPI SocketAddress a listening socket really has (port 0 resolved)."""
    if sock.family == socket.AF_UNIX:
        return _unix_name(sock).to_qapi()
    name = sock.getsockname()
    if sock.family == socket.AF_VSOCK:
        return {"port": str(name[1]), "cid": str(name[0]), "type": "vsock"}
    family = {"ipv4": True} if sock.family == socket.AF_INET else {"ipv6": True}
    return {"port": str(name[1]), **family, "host": name[0], "type": "inet"}


def _unix_name(sock: socket.socket) -> UnixAddress:
    name = sock.getsockname()
    if isinstance(name, bytes):  # an abstract one, behind a zero
        return UnixAddress(os.fsdecode(name[1:]), abstract=True)
    return UnixAddress(name.replace(_NUL, "\0"))


async def _targets(address: StreamAddress) -> list[tuple[int, Any]]:
    """Return family and address of each place to connect to."""
    if isinstance(address, UnixAddress):
        return [(socket.AF_UNIX, address.name)]
    if isinstance(address, VsockAddress):
        return [(socket.AF_VSOCK, _vsock_target(address))]
    import asyncio  # noqa: PLC0415 - as above

    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            address.host, address.port, family=address.family, type=socket.SOCK_STREAM
        )
    except (socket.gaierror, UnicodeError) as error:
        raise _unresolved(address, error) from None
    return [(family, target) for family, _, _, _, target in found]


def _unconnected(address: StreamAddress, error: OSError) -> QMPError:
    return QMPError(f"Failed to connect to '{_bare(address)}': {os.strerror(error.errno or 0)}")


def _unresolved(address: InetAddress, error: socket.gaierror | UnicodeError) -> QMPError:
    # Python's own encoding of names fails for what a resolver would not find.
    reason = error.strerror if isinstance(error, socket.gaierror) else _NO_NAME
    return QMPError(f"address resolution failed for {_bare(address)}: {reason}")


def _listen_unix(address: UnixAddress, backlog: int) -> socket.socket:
    name = address.name
    sock = _stream_socket(socket.AF_UNIX)
    # The mode must be right before anybody can connect, so not by chmod.
    umask = os.umask(0o177)
    try:
        remove_path(address)
        sock.bind(name)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise QMPError(
            f"Failed to bind socket to {address.path}: {os.strerror(error.errno or 0)}"
        ) from None
    finally:
        os.umask(umask)
    return sock


def _listen_vsock(address: VsockAddress, backlog: int) -> socket.socket:
    target = _vsock_target(address)
    sock = _stream_socket(socket.AF_VSOCK)
    try:
        sock.bind(target)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise QMPError(f"Failed to bind socket: {os.strerror(error.errno or 0)}") from None
    return sock


def _vsock_target(address: VsockAddress) -> tuple[int, int]:
    """Return the numbers. Raises QMPError in QEMU's words."""
    for name, text in (("cid", address.cid), ("port", address.port)):
        if not text.isdecimal() or int(text) > _UINT32_MAX:
            raise QMPError(f"Failed to parse {name} '{text}'")
    return int(address.cid), int(address.port)


def _remove_socket(path: str) -> None:
    """Remove a stale socket, but never a file of another kind."""
    try:
        if stat.S_ISSOCK(os.lstat(host_path(path)).st_mode):
            os.unlink(host_path(path))
    except FileNotFoundError:
        pass


def _stream_socket(family: int) -> socket.socket:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    except OSError as error:  # a kernel need not know vsock, nor IPv6
        reason = os.strerror(error.errno or 0)
        raise QMPError(f"Failed to create socket family {int(family)}: {reason}") from None
    sock.setblocking(False)
    return sock


def _bare(address: StreamAddress) -> str:
    if isinstance(address, UnixAddress):
        return address.path
    if isinstance(address, VsockAddress):
        return f"{address.cid}:{address.port}"
    return f"{address.host}:{address.port}"
