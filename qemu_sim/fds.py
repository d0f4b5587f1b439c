"""File descriptors with exactly one owner.

An `Fd` owns its number: `close` is repeatable, `detach` gives the number away and
poisons the wrapper, and forgetting one raises ResourceWarning (an error in the
tests). Numbers travel between functions only as `Fd`.
"""

import fcntl
import os
import warnings
from collections.abc import Iterable, Sequence
from functools import cache, cmp_to_key
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Self

from qemu_sim.errors import FdError

if TYPE_CHECKING:
    import ctypes

_CLOSED = -1
_SYS_KCMP = 312  # x86_64; Linux arch/x86/entry/syscalls/syscall_64.tbl
_KCMP_FILE = 0
_KCMP_LESS = 1


class Fd:
    """Owner of one open descriptor."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        """Take ownership of `number`, an open descriptor."""
        if number < 0:
            raise FdError(f"not a descriptor: {number}")
        self._number = number

    @classmethod
    def duplicate(cls, number: int) -> Self:
        """Own a CLOEXEC duplicate of somebody else's descriptor `number`."""
        return cls(fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 0))

    @property
    def closed(self) -> bool:
        """True once closed or given away."""
        return self._number == _CLOSED

    def fileno(self) -> int:
        """The number, still owned here. Raises FdError when there is none left."""
        if self._number == _CLOSED:
            raise FdError("descriptor is closed or was given away")
        return self._number

    def share(self) -> Self:
        """Return a second owner of the same open file (a CLOEXEC duplicate)."""
        return self.duplicate(self.fileno())

    def detach(self) -> int:
        """Give the number away; this wrapper is closed from now on."""
        number = self.fileno()
        self._number = _CLOSED
        return number

    def close(self) -> None:
        """Close the descriptor; nothing happens the second time."""
        number, self._number = self._number, _CLOSED
        if number != _CLOSED:
            os.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_number", _CLOSED) != _CLOSED:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        return "<Fd closed>" if self._number == _CLOSED else f"<Fd {self._number}>"


def close_all(fds: Iterable[Fd]) -> None:
    """Close each of `fds`."""
    for fd in fds:
        fd.close()


def same_open_file(pid_a: int, fd_a: int, pid_b: int, fd_b: int) -> bool:
    """Whether two descriptors, maybe of two processes, are one open file (kcmp(2))."""
    return _compare(pid_a, fd_a, pid_b, fd_b) == 0


def find_same(numbers: Sequence[int]) -> tuple[int, int] | None:
    """Return the places of two descriptors of ours that are one open file, if there are any."""
    pid = os.getpid()
    found: list[tuple[int, int]] = []

    # Any sort compares what ends up side by side, and so two that are the same.
    def order(a: int, b: int) -> int:
        kind = _compare(pid, numbers[a], pid, numbers[b])
        if kind == 0:
            found.append((min(a, b), max(a, b)))
        return -1 if kind == _KCMP_LESS else 1

    sorted(range(len(numbers)), key=cmp_to_key(order))
    return found[0] if found else None


def _compare(pid_a: int, fd_a: int, pid_b: int, fd_b: int) -> int:
    """Compare two open files; the kernel has an order of its own for them."""
    arguments = (_SYS_KCMP, pid_a, pid_b, _KCMP_FILE, fd_a, fd_b)
    order: int = _libc().syscall(*arguments)
    return order if order >= 0 else _failed("kcmp", arguments)


@cache
def _libc(*, use_errno: bool = False) -> "ctypes.CDLL":
    import ctypes  # noqa: PLC0415  (a fifth of the start-up, for nothing most of the time)

    return ctypes.CDLL(None, use_errno=use_errno)


def _failed(name: str, arguments: tuple[int, ...]) -> NoReturn:
    """Make a call that failed again: to keep errno each time would double what it takes."""
    import ctypes  # noqa: PLC0415  (see _libc)

    _libc(use_errno=True).syscall(*arguments)
    error = ctypes.get_errno()
    raise OSError(error, os.strerror(error), name)


def open_descriptors(pid: int | str = "self") -> dict[int, str]:
    """Census of a process: descriptor number to what it refers to (from /proc)."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return found


class TaggedFd(NamedTuple):
    """A descriptor and its use: a `role` such as "queue" or "kick", an `index` within it."""

    role: str
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls
    fd: Fd
