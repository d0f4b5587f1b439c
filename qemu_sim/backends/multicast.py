"""A socket that hears and speaks to an IPv4 multicast group.

QEMU: net/dgram.c (net_dgram_mcast_create), net/socket.c (net_socket_mcast_create)
"""

from __future__ import annotations

import os
import socket

from qemu_sim.errors import QMPError

Target = tuple[str, int]


def is_group(host: str) -> bool:
    """Whether `host` is the address of a group."""
    try:
        return 224 <= socket.inet_aton(host)[0] < 240  # noqa: PLR2004 - class D
    except OSError:
        return False


def multicast_socket(group: Target, interface: str | None) -> socket.socket:
    """Join a group. Raises QMPError in QEMU's words."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    own = socket.inet_aton(interface) if interface else bytes(4)
    steps: list[tuple[int, int, int | bytes]] = [
        (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
        (socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group[0]) + own),
        (socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1),
        *([(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)] if interface else []),
    ]
    try:
        for number, (level, option, value) in enumerate(steps):
            sock.setsockopt(level, option, value)
            if number == 0:
                sock.bind(group)
    except OSError as error:
        sock.close()
        reason = os.strerror(error.errno or 0)
        raise QMPError(f"can't join multicast group {group[0]}: {reason}") from None
    return sock
