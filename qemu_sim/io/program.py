"""A program started with a pipe to its standard input and one from its output.

QEMU: io/channel-command.c

Its end is waited for, so that it does not stay a zombie, but how it ends is not looked at:
QEMU does not either. It outlives this process, as it would QEMU.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd, open_descriptors
from qemu_sim.host_path import host_path

# Python ignores these, and what is ignored stays so in a new program.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)


def start(arguments: Sequence[str]) -> tuple[Fd, Fd]:
    """Start a program by its path; return what it writes and what it reads.

    It gets no other descriptor than these two and standard error.
    Raises QMPError `Failed to execute child process …`, as GLib words it.
    """
    source, output = map(Fd, os.pipe2(os.O_CLOEXEC))
    input_, sink = map(Fd, os.pipe2(os.O_CLOEXEC))
    with output, input_:
        try:
            pid = os.posix_spawn(
                os.path.abspath(host_path(arguments[0])),  # no search in PATH
                [host_path(argument) for argument in arguments],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, input_.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                    *((os.POSIX_SPAWN_CLOSE, number) for number in _inheritable()),
                ],
                setsigmask=(),  # this process may have blocked some
                setsigdef=_IGNORED,
            )
        except OSError as error:
            source.close()
            sink.close()
            reason = os.strerror(error.errno or 0)
            raise QMPError(f"Failed to execute child process “{arguments[0]}” ({reason})") from None
    threading.Thread(target=os.waitpid, args=(pid, 0), name=f"wait-{pid}", daemon=True).start()
    return source, sink


def _inheritable() -> Iterator[int]:
    """Yield the numbers that this process itself was started with, beyond the first three."""
    for number in open_descriptors():
        try:
            if number > 2 and os.get_inheritable(number):  # noqa: PLR2004 - standard error
                yield number
        except OSError:  # that of the listing, gone with it
            continue
