"""Who is at the other end of a unix socket. Linux: unix(7), SO_PEERCRED."""

from __future__ import annotations

import socket

_UCRED_SIZE = 12  # three of C's int: pid, uid, gid


def peer_credentials(sock: socket.socket) -> tuple[int, int, int] | None:
    """Pid, uid and gid of the peer of a unix socket, else None."""
    if sock.family != socket.AF_UNIX:
        return None
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED_SIZE)
    pid, uid, gid = memoryview(raw).cast("i")
    return pid, uid, gid
