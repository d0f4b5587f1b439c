"""What the kernel, the traffic and the machines say about one hand-over."""

from __future__ import annotations

from collections import Counter
from itertools import product

from qemu_sim.fds import open_descriptors, same_open_file

_KINDS = ("/dev/net/tun", "/memfd:", "socket:", "anon_inode:[eventfd]")


def shared_files(pid_a: int, pid_b: int):
    """Count, by device, the open files that two processes share; None if nobody may ask.

    The kernel compares the open files themselves (kcmp). Opening the same path or
    connecting to the same server again makes another open file.
    """
    ours, theirs = _candidates(pid_a), _candidates(pid_b)
    counted = []
    try:
        for a, b in product(ours, theirs):
            if ours[a] != theirs[b] or not same_open_file(pid_a, a, pid_b, b):
                continue
            if not any(same_open_file(pid_a, a, pid_a, other) for other in counted):
                counted.append(a)
    except OSError:
        return None
    return Counter(_device(ours[a]) for a in counted)


def opens_tap(pid: int) -> bool:
    """Whether a process has a TAP open."""
    return "/dev/net/tun" in _candidates(pid).values()


def _candidates(pid: int):
    # The first three are inherited from whoever started the demo.
    descriptors = open_descriptors(pid).items()
    return {n: target for n, target in descriptors if n > 2 and target.startswith(_KINDS)}


def _device(target: str) -> str:
    if target == "/dev/net/tun":
        return "nic0"
    return "guest RAM" if target.startswith("/memfd:guest-ram") else "disk0"
