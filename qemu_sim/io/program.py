"""A program started with a pipe to its standard input and one from its output.

QEMU: io/channel-command.c

Its end is waited for, so that it does not stay a zombie, but how it ends is not looked at:
QEMU does not either. It outlives this process, as it would QEMU.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd


def start(arguments: Sequence[str]) -> tuple[Fd, Fd]:
    """Start a program by its path; return what it writes and what it reads.

    It gets no other descriptor than these two and standard error.
    Raises QMPError `Failed to execute child process …`, as GLib words it.
    """
    path = arguments[0]
    try:
        program = subprocess.Popen(  # noqa: S603 - what the client itself asks for
            arguments,
            executable=os.path.abspath(path),  # no search in PATH
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise QMPError(f"Failed to execute child process “{path}” ({reason})") from None
    threading.Thread(target=program.wait, name=f"wait for {path}", daemon=True).start()
    assert program.stdin is not None
    assert program.stdout is not None
    with program.stdin, program.stdout:
        return Fd.duplicate(program.stdout.fileno()), Fd.duplicate(program.stdin.fileno())
