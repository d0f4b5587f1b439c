"""Who is at the other end of a unix socket. Linux: unix(7), SO_PEERCRED."""

from __future__ import annotations

import socket
import struct

_UCRED = struct.Struct("=3i")  # pid, uid, gid


def peer_credentials(sock: socket.socket) -> tuple[int, int, int] | None:
    """Pid, uid and gid of the peer of a unix socket, else None."""
    if sock.family != socket.AF_UNIX:
        return None
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    return pid, uid, gid
