"""-daemonize: the parent waits until the daemon can be talked to, then exits 0.

QEMU: os-posix.c (os_daemonize, os_setup_post)

Whoever starts a daemon may read its stdout and stderr to their end, so the daemon keeps no
copy of them once it is ready. Until then it complains there, and dying unready makes the
parent exit 1.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from qemu_sim.fds import Fd

_READY = b"\0"
_STREAMS = 3


class Daemon:
    """The daemon's side of the pipe to the waiting parent. Made by `daemonize`."""

    def __init__(self, parent: Fd) -> None:
        self._parent = parent

    def ready(self) -> None:
        """Leave the terminal, the directory and the streams, and let the parent exit 0."""
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for stream in range(_STREAMS):
            os.dup2(null, stream)
        os.close(null)
        os.write(self._parent.fileno(), _READY)
        self._parent.close()


def daemonize() -> Daemon:
    """Go on in a grandchild in a session of its own; only there this returns.

    Called before there is a thread or an event loop.
    """
    _fill_streams()
    reader, writer = (Fd(number) for number in os.pipe2(os.O_CLOEXEC))
    if os.fork():
        writer.close()
        _wait(reader)
    reader.close()
    os.setsid()
    if os.fork():  # a session's leader could get a terminal again
        os._exit(0)
    os.umask(0o027)
    for stop in (signal.SIGTSTP, signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(stop, signal.SIG_IGN)
    return Daemon(writer)


def _fill_streams() -> None:
    """Open what the caller has closed of the standard streams: the first socket would be there."""
    while (number := os.open(os.devnull, os.O_RDWR)) < _STREAMS:
        if number:
            setattr(sys, ("stdout", "stderr")[number - 1], os.fdopen(number, "w"))
    os.close(number)


def _wait(reader: Fd) -> NoReturn:
    """Exit as the daemon says, or 1 if it ends without a word."""
    os._exit(0 if os.read(reader.fileno(), 1) == _READY else 1)
