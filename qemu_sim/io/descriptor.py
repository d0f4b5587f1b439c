"""What an open descriptor is: its kind, and which object of that kind.

Linux: proc(5), `/proc/PID/fd` and `/proc/PID/fdinfo`; eventfd(2)

Both are read without touching the object, so a descriptor that came from elsewhere
can be checked before it is used. The identity is the kernel's own number and thus the
same text in every process of the host.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qemu_sim.fds import Fd

EVENTFD = "eventfd"
MEMFD = "memfd"
SOCKET = "socket"
_ANONYMOUS = re.compile(r"anon_inode:\[?([a-z0-9_-]+)\]?")
_EVENTFD_ID = re.compile(r"^eventfd-id:\s*(\d+)$", re.MULTILINE)


def kind(fd: Fd) -> str:
    """Return `eventfd`, `memfd`, `socket`, `pipe`, or the path of the file it is."""
    target = os.readlink(f"/proc/self/fd/{fd.fileno()}")
    if target.startswith("/memfd:"):
        return MEMFD
    anonymous = _ANONYMOUS.fullmatch(target)
    if anonymous is not None:
        return anonymous[1]
    return target.partition(":")[0]


def identity(fd: Fd) -> str:
    """Return a text such as `socket:4711` that no other open object has at this time.

    All eventfds share one inode, so the kernel's eventfd-id stands in its place
    (Linux 5.2 and later; `eventfd:unknown` before).
    """
    name = kind(fd)
    if name == EVENTFD:
        return f"{name}:{_eventfd_id(fd)}"
    return f"{name}:{os.fstat(fd.fileno()).st_ino}"


def _eventfd_id(fd: Fd) -> str:
    with open(f"/proc/self/fdinfo/{fd.fileno()}", encoding="ascii") as info:
        found = _EVENTFD_ID.search(info.read())
    return found[1] if found is not None else "unknown"
