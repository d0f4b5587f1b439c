"""What an open descriptor is: its kind, and which object of that kind.

Linux: proc(5), `/proc/PID/fd` and `/proc/PID/fdinfo`; eventfd(2)

Both are read without touching the object, so a descriptor that came from elsewhere
can be checked before it is used. The identity is the kernel's own number and thus the
same text in every process of the host.
"""

from __future__ import annotations

import os
import re

from qemu_sim.fds import Fd

EVENTFD = "eventfd"
MEMFD = "memfd"
SOCKET = "socket"
_EVENTFD_ID = re.compile(rb"^eventfd-id:\s*(\d+)$", re.MULTILINE)


def kind(fd: Fd) -> str:
    """Return `eventfd`, `memfd`, `socket`, `pipe`, or the path of the file it is."""
    target = os.readlink(f"/proc/self/fd/{fd.fileno()}")
    if target.startswith("/memfd:"):
        return MEMFD
    if target.startswith("anon_inode:"):
        return target.removeprefix("anon_inode:").strip("[]")
    return target.partition(":")[0]


def identity(fd: Fd) -> str:
    """Return a text such as `socket:4711` that no other open object has at this time.

    It starts with the kind. All eventfds share one inode, so the kernel's eventfd-id
    stands in its place (Linux 5.2 and later; `eventfd:unknown` before).
    """
    name = kind(fd)
    if name == EVENTFD:
        return f"{name}:{_eventfd_id(fd)}"
    return f"{name}:{os.fstat(fd.fileno()).st_ino}"


def _eventfd_id(fd: Fd) -> str:
    # A hand-over does this while the guest stands still: the plain calls are much faster.
    with Fd(os.open(f"/proc/self/fdinfo/{fd.fileno()}", os.O_RDONLY | os.O_CLOEXEC)) as info:
        found = _EVENTFD_ID.search(os.read(info.fileno(), 4096))
    return found[1].decode() if found is not None else "unknown"
