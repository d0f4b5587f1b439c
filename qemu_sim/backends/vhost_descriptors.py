"""The descriptors of a vhost-user session, and the check of those from another process.

A descriptor must be of the kind its role needs, and the very object the source named:
two eventfds look alike, but swapped they would wake the wrong queue, or the wrong disk.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError
from qemu_sim.fds import Fd, TaggedFd, close_all
from qemu_sim.io import descriptor

if TYPE_CHECKING:
    from qemu_sim.backends.vhost_state import VhostState

_KINDS = {
    "socket": descriptor.SOCKET,
    "inflight": descriptor.MEMFD,
    "kick": descriptor.EVENTFD,
    "call": descriptor.EVENTFD,
}


class VhostDescriptors:
    """Owner of what a session holds open.

    `socket` is here only while it is at rest, else with the connection.
    """

    def __init__(self) -> None:
        self.socket: Fd | None = None
        self.inflight: Fd | None = None
        self.kicks: list[Fd] = []
        self.calls: list[Fd] = []
        self._identities: dict[Fd, str] = {}

    def make_eventfds(self, count: int) -> None:
        """Have a kick and a call for each of `count` rings."""
        flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
        for fds in (self.kicks, self.calls):
            fds += [Fd(os.eventfd(0, flags)) for _ in range(count - len(fds))]
        # Asked for now, because a hand-over asks while the guest stands still.
        self.describe()

    def tagged(self) -> list[TaggedFd]:
        """Return all of them, each with its role; they stay owned here."""
        single = [("socket", self.socket), ("inflight", self.inflight)]
        fds = [TaggedFd(role, 0, fd) for role, fd in single if fd is not None]
        fds += [TaggedFd("kick", index, fd) for index, fd in enumerate(self.kicks)]
        return fds + [TaggedFd("call", index, fd) for index, fd in enumerate(self.calls)]

    def own(self, fds: Iterable[TaggedFd], identities: dict[Fd, str]) -> None:
        """Put descriptors in their places that `verify` has found to be `identities`."""
        self._identities = identities
        by_tag = {(tagged.role, tagged.index): tagged.fd for tagged in fds}
        self.socket = by_tag.pop(("socket", 0))
        self.inflight = by_tag.pop(("inflight", 0), None)
        self.kicks = [by_tag["kick", index] for index in range(len(by_tag) // 2)]
        self.calls = [by_tag["call", index] for index in range(len(by_tag) // 2)]

    def close(self) -> None:
        """Close them all."""
        close_all(tagged.fd for tagged in self.tagged())
        self.socket = self.inflight = None
        self.kicks, self.calls = [], []
        self._identities.clear()

    def describe(self) -> list[list[Any]]:
        """Return [[role, index, identity], …] of all, for the state that travels with them."""
        return [[tagged.role, tagged.index, self._identity(tagged.fd)] for tagged in self.tagged()]

    def _identity(self, fd: Fd) -> str:
        if fd not in self._identities:
            self._identities[fd] = descriptor.identity(fd)
        return self._identities[fd]


def verify(device: str, state: VhostState, fds: list[TaggedFd], described: Any) -> dict[Fd, str]:
    """Check that `fds` are those the state needs and the source described; nothing is changed.

    Returns the identity of each. Raises MigrationError naming device, role, index and both
    values.
    """
    identities = {}
    expected = _expected(device, described)
    _verify_roles(device, state.roles(), [(tagged.role, tagged.index) for tagged in fds])
    for tagged in fds:
        what = f"{device}: descriptor {tagged.role}[{tagged.index}]"
        found, wanted = descriptor.identity(tagged.fd), expected.get((tagged.role, tagged.index))
        _verify_kind(what, tagged, found.rpartition(":")[0])
        if found != wanted:
            raise MigrationError(f"{what} is {found}, at the source it was {wanted}")
        if tagged.role == "inflight" and state.inflight is not None:
            _verify_size(what, tagged.fd, state.inflight.mmap_offset + state.inflight.mmap_size)
        identities[tagged.fd] = found
    return identities


def _expected(device: str, described: Any) -> dict[tuple[str, int], str]:
    try:
        return {(role, index): identity for role, index, identity in described}
    except (TypeError, ValueError):
        raise MigrationError(f"{device}: bad list of descriptors: {described!r}") from None


def _verify_roles(device: str, wanted: set[tuple[str, int]], found: list[tuple[str, int]]) -> None:
    for tag in found:
        if tag not in wanted:
            raise MigrationError(f"{device}: descriptor {_name(tag)} came, but is of no use")
    for tag in sorted(wanted):
        if found.count(tag) != 1:
            raise MigrationError(f"{device}: descriptor {_name(tag)} came {found.count(tag)} times")


def _name(tag: tuple[str, int]) -> str:
    return f"{tag[0]}[{tag[1]}]"


def _verify_kind(what: str, tagged: TaggedFd, found: str) -> None:
    wanted = _KINDS[tagged.role]
    if found != wanted:
        raise MigrationError(f"{what} is of kind {found}, not {wanted}")
    if wanted == descriptor.SOCKET:
        _verify_socket(what, tagged.fd)


def _verify_socket(what: str, fd: Fd) -> None:
    sock = socket.socket(fileno=fd.fileno())
    try:
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
            raise MigrationError(f"{what} is not a unix stream socket")
        sock.getpeername()
    except OSError as error:
        raise MigrationError(f"{what} is not connected: {error.strerror}") from None
    finally:
        sock.detach()  # the number is still the Fd's


def _verify_size(what: str, fd: Fd, size: int) -> None:
    found = os.fstat(fd.fileno()).st_size
    if found < size:
        raise MigrationError(f"{what} is {found} bytes, not {size}")
