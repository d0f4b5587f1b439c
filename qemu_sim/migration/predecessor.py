"""The process whose machine is to go on here: the descriptors that it left, by name.

QEMU: migration/cpr.c (cpr_state_load), migration/cpr-transfer.c (cpr_transfer_input),
migration/cpr-exec.c (cpr_exec_input)

It is waited for before there is anything else, even a monitor: what is made then may be
made around those descriptors. So the whole process waits, and nothing here needs asyncio.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from qemu_sim.errors import QMPError, WireError
from qemu_sim.fds import Fd, close_all
from qemu_sim.io import address as addresses
from qemu_sim.io import sockets
from qemu_sim.io.address import FdAddress
from qemu_sim.wire import cpr, vmstream
from qemu_sim.wire.bytes_reader import BytesReader, run

if TYPE_CHECKING:
    from qemu_sim.virtio.memory import GuestMemory

_Key = tuple[str, int]
_FDS = 253  # SCM_MAX_FD, Linux include/net/scm.h
_log = logging.getLogger(__name__)


class Predecessor:
    """What it left. `close` tells one that waits that it can go on."""

    def __init__(self, fds: dict[_Key, Fd], state: Fd) -> None:
        """Own `fds`, by name and number, and `state`, which they came by."""
        self._fds = fds
        self._state = state

    def give_ram(self, memory: GuestMemory) -> None:
        """Let `memory` be what the predecessor had by its name, if it left that.

        Raises MigrationError when it does not fit.
        """
        fd = self._fds.pop((memory.name, 0), None)
        if fd is not None:
            memory.adopt(fd)

    def close(self) -> None:
        """Give back what nothing was made of. Repeatable."""
        close_all(self._fds.values())
        self._fds.clear()
        self._state.close()


def inherit(file: Fd) -> Predecessor:
    """Return what an earlier program of this process has left in `file`. Raises WireError."""
    return _load(_Inherited(file))


def await_source(channel: dict[str, Any], *, check_peer: bool) -> Predecessor:
    """Wait for a source at a QAPI MigrationAddress, and take what it sends.

    Raises QMPError or WireError in QEMU's words.
    """
    return _load(_Received(_accept(channel, check_peer=check_peer)))


class _Source(Protocol):
    """Where the state is read from."""

    async def read(self, size: int) -> bytes:
        """Return the next `size` bytes. Raises WireError when there are fewer."""

    async def read_fd(self) -> Fd:
        """Return the descriptor at hand. Raises WireError when there is none."""

    def take(self) -> Fd:
        """Return what it is read from; the caller owns it."""


class _Inherited(BytesReader):
    """A file that an earlier program of this process has written: it left numbers."""

    def __init__(self, file: Fd) -> None:
        os.set_inheritable(file.fileno(), False)
        super().__init__(os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0))
        self._file = file

    async def read_fd(self) -> Fd:
        """Own the descriptor of that number."""
        number = await cpr.read_number(self)
        try:
            os.set_inheritable(number, False)
        except OSError as error:
            raise WireError(f"fd {number} was not inherited: {error.strerror}") from None
        return Fd(number)

    def take(self) -> Fd:
        """Return the file."""
        return self._file


class _Received:
    """A socket, read no further than asked for: what belongs to nobody else stays in it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._fds: deque[Fd] = deque()  # first come, first served; they come a little earlier

    async def read(self, size: int) -> bytes:
        """Wait for `size` bytes."""
        data = b""
        while len(data) < size:
            more, fds, _, _ = socket.recv_fds(
                self._sock, size - len(data), _FDS, socket.MSG_CMSG_CLOEXEC
            )
            self._fds += map(Fd, fds)
            if not more:
                raise WireError(f"{size} bytes are expected and {len(data)} came")
            data += more
        return data

    async def read_fd(self) -> Fd:
        """Wait for the byte that stands for one."""
        if await self.read(1) != vmstream.FD_BYTE or not self._fds:
            raise WireError("cpr-in no FD come with service byte")
        return self._fds.popleft()

    def take(self) -> Fd:
        """Return the socket."""
        close_all(self._fds)
        return Fd(self._sock.detach())


def _load(source: _Source) -> Predecessor:
    fds: dict[_Key, Fd] = {}
    try:
        run(_read(source, fds))
    except BaseException:
        Predecessor(fds, source.take()).close()
        raise
    return Predecessor(fds, source.take())


async def _read(source: _Source, fds: dict[_Key, Fd]) -> None:
    await cpr.read_header(source)
    while (key := await cpr.read_entry(source)) is not None:
        fd = await source.read_fd()
        if key in fds:
            fd.close()
            raise WireError(f"two descriptors of the name {key[0]}")
        fds[key] = fd
    await cpr.read_tail(source)


def _accept(channel: dict[str, Any], *, check_peer: bool) -> socket.socket:
    """Listen, and return the first source that comes. Raises QMPError in QEMU's words."""
    if channel["transport"] != "socket" or channel["type"] not in ("unix", "fd"):
        raise QMPError("bad cpr channel socket type; must be unix")
    address = addresses.from_qapi(channel)
    if isinstance(address, FdAddress):
        listener = sockets.inherited(address)
    else:
        listener = sockets.listen(address)
    listener.setblocking(True)
    try:
        return _first(listener, check_peer=check_peer)
    finally:
        listener.close()
        if not isinstance(address, FdAddress):
            sockets.remove_path(address)


def _first(listener: socket.socket, *, check_peer: bool) -> socket.socket:
    while True:
        sock, _ = listener.accept()
        if not check_peer or sockets.trusted_peer(sock):
            return sock
        sock.close()
        _log.warning("the peer of the cpr channel belongs to another user: turned away")
