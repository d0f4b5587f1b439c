"""Descriptor sets: what `add-fd` keeps for /dev/fdset/N.

QEMU: monitor/fds.c
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.backends.chardev import open_file
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.fds import Fd

_DIRECTORY = "/dev/fdset/"


class Member(NamedTuple):
    """One descriptor of a set and its free-form name."""

    fd: Fd
    opaque: str | None


class FdSets:
    """All descriptor sets of one machine, by their ID."""

    def __init__(self) -> None:
        self._sets: dict[int, list[Member]] = {}

    def add(self, fd: Fd, fdset_id: int | None, opaque: str | None) -> dict[str, int]:
        """Own `fd` in set `fdset_id`, or in a new one. Returns the QAPI AddfdInfo."""
        if fdset_id is not None and fdset_id < 0:
            fd.close()
            raise QMPError("Parameter 'fdset-id' expects a non-negative value")
        if fdset_id is None:
            fdset_id = next(n for n in range(len(self._sets) + 1) if n not in self._sets)
        self._sets.setdefault(fdset_id, []).append(Member(fd, opaque))
        return {"fdset-id": fdset_id, "fd": fd.fileno()}

    def remove(self, fdset_id: int, fd: int | None) -> None:
        """Close one descriptor of a set, or all. Raises QMPError when there is none."""
        members = self._sets.get(fdset_id, [])
        gone = [member for member in members if fd is None or member.fd.fileno() == fd]
        if not gone:
            which = f"fdset-id:{fdset_id}" + ("" if fd is None else f", fd:{fd}")
            raise QMPError(f"File descriptor named '{which}' not found")
        for member in gone:
            members.remove(member)
            member.fd.close()
        if not members:
            del self._sets[fdset_id]

    def open(self, path: str, flags: int) -> Fd:
        """Open a file, or duplicate the set's descriptor that /dev/fdset/N names.

        It is the first one that was opened for the same access. Raises QMPError in QEMU's words.
        """
        if not path.startswith(_DIRECTORY):
            return open_file(path, flags)
        try:
            return self._duplicate(path.removeprefix(_DIRECTORY), flags)
        except OSError as error:
            raise QMPError(f"Could not open '{path}': {error.strerror}") from None

    def reopen(self, path: str, flags: int) -> Fd | None:
        """Duplicate the descriptor that /dev/fdset/N names, as `open`; None for another path.

        Raises QMPError in the words that QEMU has since 9.1.
        """
        if not path.startswith(_DIRECTORY):
            return None
        try:
            return self._duplicate(path.removeprefix(_DIRECTORY), flags)
        except OSError as error:
            if error.errno == errno.EACCES:
                raise QMPError(
                    f"Failed to find file descriptor with matching flags=0x{flags:x}"
                ) from None
            raise QMPError(f"Failed to find fdset {path}") from None

    def _duplicate(self, name: str, flags: int) -> Fd:
        if not name.isdecimal():
            raise _error(errno.EINVAL)
        members = self._sets.get(int(name))
        if members is None:
            raise _error(errno.ENOENT)
        for member in members:
            had = fcntl.fcntl(member.fd.fileno(), fcntl.F_GETFL)
            if had & os.O_ACCMODE == flags & os.O_ACCMODE:
                return _reopened(member.fd, had, flags)
        raise _error(errno.EACCES)

    def query(self) -> list[dict[str, Any]]:
        """Return the QAPI FdsetInfo list, newest set and member first as QEMU lists them."""
        return [
            {"fdset-id": number, "fds": [_info(member) for member in reversed(self._sets[number])]}
            for number in sorted(self._sets, reverse=True)
        ]

    def close(self) -> None:
        """Close every descriptor."""
        for members in self._sets.values():
            for member in members:
                member.fd.close()
        self._sets.clear()


def _reopened(fd: Fd, had: int, flags: int) -> Fd:
    """Duplicate `fd` and do what opening it with `flags` would have done."""
    copy = fd.share()
    try:
        fcntl.fcntl(copy.fileno(), fcntl.F_SETFL, had & ~os.O_APPEND | flags & os.O_APPEND)
        if flags & os.O_TRUNC and stat.S_ISREG(os.fstat(copy.fileno()).st_mode):
            os.ftruncate(copy.fileno(), 0)
    except OSError:
        copy.close()
        raise
    return copy


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _info(member: Member) -> dict[str, Any]:
    opaque = {} if member.opaque is None else {"opaque": member.opaque}
    return {"fd": member.fd.fileno(), **opaque}
