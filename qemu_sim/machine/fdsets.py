"""Descriptor sets: what `add-fd` keeps for /dev/fdset/N.

QEMU: monitor/fds.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.fds import Fd


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


def _info(member: Member) -> dict[str, Any]:
    opaque = {} if member.opaque is None else {"opaque": member.opaque}
    return {"fd": member.fd.fileno(), **opaque}
