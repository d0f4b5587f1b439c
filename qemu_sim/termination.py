"""SIGTERM, SIGINT and SIGHUP, with the sender's process ID.

QEMU: system/runstate.c (qemu_system_killed, qemu_kill_report)

An event loop's own signal support forgets who sent a signal, so the signals are blocked
and read from a signalfd. A child process would inherit that, so who starts one clears its
mask.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qemu_sim.fds import Fd

if TYPE_CHECKING:
    import asyncio

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SIGSET_SIZE = 128  # glibc's sigset_t
_PR_SET_PDEATHSIG = 1  # Linux include/uapi/linux/prctl.h
_INFO_SIZE = 128  # struct signalfd_siginfo
_INFO = "=IiiI"  # ssi_signo, ssi_errno, ssi_code, ssi_pid


def block() -> None:
    """Keep the signals pending until `watch` reads them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


@contextmanager
def deadly() -> Iterator[None]:
    """Let the signals end the process where it stands, as long as this lasts."""
    interrupt = signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    try:
        yield
    finally:
        block()
        signal.signal(signal.SIGINT, interrupt)


@contextmanager
def watch(loop: asyncio.AbstractEventLoop, ended: Callable[[str], None]) -> Iterator[None]:
    """Call `ended(text)` on `loop` for each signal; `text` is QEMU's message."""
    with _signalfd() as fd:
        loop.add_reader(fd.fileno(), lambda: ended(_message(os.read(fd.fileno(), _INFO_SIZE))))
        try:
            yield
        finally:
            loop.remove_reader(fd.fileno())


def _signalfd() -> Fd:
    import ctypes  # noqa: PLC0415 - the greeting comes first

    mask = sum(1 << (number - 1) for number in _SIGNALS).to_bytes(_SIGSET_SIZE, "little")
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK)
    if number < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "signalfd")
    return Fd(number)


def _message(info: bytes) -> str:
    import struct  # noqa: PLC0415 - the greeting comes first

    number, _, _, pid = struct.unpack_from(_INFO, info)
    text = f"terminating on signal {number}"
    # The kernel itself, for a key typed at the terminal, has no process ID.
    return f"{text} from pid {pid} ({_command(pid)})" if pid else text


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            program = file.read().partition(b"\0")[0]
    except OSError:
        program = b""
    return os.fsdecode(program) or "<unknown process>"


def end_with_parent() -> None:
    """Get SIGTERM when the process that started this one ends (-run-with exit-with-parent)."""
    import ctypes  # noqa: PLC0415 - few ask for it

    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may have ended before it could be asked for.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
