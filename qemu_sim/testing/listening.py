"""Whether a unix socket can be connected to, found without connecting.

A first client would already be the machine that a one-client server waits for.
Linux: net/unix/af_unix.c (unix_seq_show)
"""

from __future__ import annotations

import time

_SO_ACCEPTCON = "00010000"
_PAUSE = 0.005  # seconds; the table of sockets cannot be waited for


def is_listening(path: str) -> bool:
    """Whether a socket of this network namespace listens: its file exists a moment before."""
    # Of a name, any bytes will do.
    with open("/proc/net/unix", errors="surrogateescape") as table:
        return any(
            line.split()[3] == _SO_ACCEPTCON and line.endswith(f" {path}\n") for line in table
        )


def wait_for_listener(path: str, within: float) -> None:
    """Return once `path` can be connected to. Raises TimeoutError after `within` seconds."""
    deadline = time.monotonic() + within
    while not is_listening(path):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody listens at {path} after {within:g} s")
        time.sleep(_PAUSE)
