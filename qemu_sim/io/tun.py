"""The ioctls of /dev/net/tun.

QEMU: net/tap-linux.c; Linux: include/uapi/linux/if_tun.h, drivers/net/tun.c

Each function raises OSError as the kernel says it: ENOTTY for a descriptor of something
else, EBADFD for a tun descriptor without an interface.

O_NONBLOCK belongs to the open file, which a hand-over shares between two processes. The
one rule: it is set by whoever opens the file or is given it (`open_queue`, `set_nonblocking`
from the command line's fd=), before the first read; nobody ever clears it; who receives
the file in a hand-over sets it only where it is missing, and only once the file is his.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import NamedTuple

from qemu_sim.fds import Fd

PATH = "/dev/net/tun"

IFF_TAP = 0x0002
IFF_TYPE_MASK = 0x000F
IFF_MULTI_QUEUE = 0x0100
IFF_ATTACH_QUEUE = 0x0200
IFF_DETACH_QUEUE = 0x0400
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000

_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_TUNGETIFF = 0x800454D2
_TUNSETSNDBUF = 0x400454D4
_TUNGETVNETHDRSZ = 0x800454D7
_TUNSETVNETHDRSZ = 0x400454D8
_TUNSETQUEUE = 0x400454D9
_TUNGETDEVNETNS = 0x54E3
_SIOCGIFHWADDR = 0x8927

_IFREQ = struct.Struct("=16sH22x")  # name, flags
_IFREQ_ADDRESS = struct.Struct("=16sH6s16x")  # name, address family, MAC
_INT = struct.Struct("=i")
_MAX_NAME = 15  # IFNAMSIZ less the final zero


class Interface(NamedTuple):
    """What a queue is attached to: the interface's name, and IFF_* flags of this queue."""

    name: str
    flags: int


def open_queue(name: str, flags: int) -> tuple[Fd, str]:
    """Attach a new queue to TAP `name`, which may hold "%d"; return it and the real name.

    As in QEMU a name longer than the kernel's 15 bytes is cut. The interface is made if
    it does not exist.
    """
    fd = Fd(os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    request = bytearray(_IFREQ.pack(os.fsencode(name)[:_MAX_NAME], flags | IFF_TAP | IFF_NO_PI))
    try:
        fcntl.ioctl(fd.fileno(), _TUNSETIFF, request)
    except OSError:
        fd.close()
        raise
    return fd, _name(request)


def interface(fd: Fd) -> Interface:
    """Ask what `fd` is attached to; changes nothing, so it is safe on any descriptor."""
    request = bytearray(_IFREQ.size)
    fcntl.ioctl(fd.fileno(), _TUNGETIFF, request)
    return Interface(_name(request), _IFREQ.unpack(request)[1])


def hardware_address(fd: Fd) -> bytes:
    """Return the interface's own MAC, random for each TAP; needs no privilege."""
    request = bytearray(_IFREQ_ADDRESS.size)
    fcntl.ioctl(fd.fileno(), _SIOCGIFHWADDR, request)
    address: bytes = _IFREQ_ADDRESS.unpack(request)[2]
    return address


def network_namespace(fd: Fd) -> int | None:
    """Return the inode of the interface's network namespace; None if we may not know."""
    try:
        number = fcntl.ioctl(fd.fileno(), _TUNGETDEVNETNS)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOTTY):  # not its administrator; Linux < 5.2
            return None
        raise
    with Fd(number) as namespace:
        return os.fstat(namespace.fileno()).st_ino


def header_length(fd: Fd) -> int:
    """Return the bytes of virtio-net header before each frame, should it have one."""
    value = bytearray(_INT.size)
    fcntl.ioctl(fd.fileno(), _TUNGETVNETHDRSZ, value)
    length: int = _INT.unpack(value)[0]
    return length


def set_header_length(fd: Fd, length: int) -> None:
    """Set the bytes of virtio-net header, for all queues of the interface."""
    fcntl.ioctl(fd.fileno(), _TUNSETVNETHDRSZ, _INT.pack(length))


def set_offloads(fd: Fd, offloads: int) -> None:
    """Tell the kernel which unfinished frames it may pass on (TUN_F_*), for all queues."""
    fcntl.ioctl(fd.fileno(), _TUNSETOFFLOAD, offloads)


def set_send_buffer(fd: Fd, size: int) -> None:
    """Limit the bytes under way towards the host."""
    fcntl.ioctl(fd.fileno(), _TUNSETSNDBUF, _INT.pack(size))


def enable_queue(fd: Fd, enabled: bool) -> None:
    """Let the kernel give frames to this queue, or not; frames waiting in it are lost."""
    flag = IFF_ATTACH_QUEUE if enabled else IFF_DETACH_QUEUE
    fcntl.ioctl(fd.fileno(), _TUNSETQUEUE, _IFREQ.pack(b"", flag))


def set_nonblocking(fd: Fd) -> None:
    """Set O_NONBLOCK where it is missing; see the rule above."""
    if not os.get_blocking(fd.fileno()):
        return
    os.set_blocking(fd.fileno(), False)


def _name(request: bytearray) -> str:
    name: bytes = _IFREQ.unpack(request)[0]
    return os.fsdecode(name.rstrip(b"\0"))
