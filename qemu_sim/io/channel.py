"""A connected stream on the event loop: bytes, and descriptors on a unix socket.

QEMU: io/channel-socket.c

asyncio's own transports drop passed descriptors silently, so this reads with
recvmsg and writes with sendmsg on a raw non-blocking socket.

- Descriptors are wrapped as `Fd` the moment they arrive, CLOEXEC from birth.
- MSG_CTRUNC is fatal: some descriptors were lost, and nobody can say which.
- A queued descriptor is a duplicate that stays with its bytes; the caller keeps its own.
- An unprivileged user has at most RLIMIT_NOFILE descriptors in flight, all processes
  together (ETOOMANYREFS): more wait until somebody reads, of which no event tells.
- Sleeping and being woken takes longer than many a peer takes to go on. Where the peer asks
  one thing after the other, `lingers` has the channel look again for a moment before that.
"""

from __future__ import annotations

import array
import asyncio
import collections
import errno
import fcntl
import os
import select
import socket
import termios
import time
from collections.abc import Callable, Sequence
from typing import Any

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd, close_all
from qemu_sim.io.credentials import peer_credentials
from qemu_sim.io.stream import Stream

MAX_FDS = 253  # SCM_MAX_FD, Linux include/net/scm.h
_READ_SIZE = 256 * 1024
_READS_A_TURN = 32
_MOMENT = 0.0005  # seconds between two looks at what no event tells
_QUICK = 200e-6  # seconds from one read to the next of a peer that is worth lingering for
_LINGER = 50e-6  # seconds; about what it takes to fall asleep and be woken
# As plain numbers: the enumeration's arithmetic costs more than the read.
_CTRUNC = int(socket.MSG_CTRUNC)
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
_ANCILLARY_SIZE = socket.CMSG_SPACE(MAX_FDS * 4)
_INT_SIZE = array.array("i").itemsize


class Channel(Stream):
    """Bytes and descriptors of one connected socket."""

    duplex = True  # the peer can answer on it
    name = "socket"  # what QEMU's errors call it

    def __init__(self, sock: socket.socket, *, lingers: bool = False) -> None:
        """Take ownership of `sock`, a connected stream socket."""
        super().__init__()
        sock.setblocking(False)
        self._sock = sock
        self._fileno = sock.fileno()
        self._carries_fds = sock.family == socket.AF_UNIX
        self._out: collections.deque[tuple[memoryview, list[Fd]]] = collections.deque()
        self.crowded = False  # whether descriptors wait because too many are in flight
        self._lingers = lingers
        self._last_read = 0.0  # when what it brought had been dealt with
        self._arrivals = select.poll()
        self._arrivals.register(sock, select.POLLIN)

    @property
    def carries_fds(self) -> bool:
        """Whether descriptors can travel (a unix socket)."""
        return self._carries_fds

    def peer_credentials(self) -> tuple[int, int, int] | None:
        """Pid, uid and gid of the peer of a unix socket (SO_PEERCRED), else None."""
        return peer_credentials(self._sock)

    def start_reading(self) -> None:
        """Deliver what arrives from now on."""
        if not self._reading and not self.closed:
            self._reading = True
            self._loop.add_reader(self._fileno, self._readable)

    def pause_reading(self) -> None:
        """Leave what arrives in the kernel until `start_reading`."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fileno)

    def send(self, data: bytes | memoryview, fds: Sequence[Fd] = ()) -> None:
        """Send `data` in order; `fds` ride on its first byte and stay the caller's.

        Raises WireError for descriptors on a channel that carries none, without data,
        or more than 253 of them. Data for a broken connection is dropped: `on_close` tells.
        """
        if fds and (not self._carries_fds or not data or len(fds) > MAX_FDS):
            raise WireError(f"cannot send {len(fds)} descriptors with {len(data)} bytes")
        if self.closed or self._error is not None or not data:
            return
        view = memoryview(data)
        if not self._out:
            sent = self._try_send(view, fds)
            if sent == len(data) or self._error is not None:
                return
            view, fds = view[sent:], () if sent else fds
        if not isinstance(data, bytes):  # the caller may reuse its buffer
            view = memoryview(bytes(view))
        self._queue(view, fds)

    def _queue(self, view: memoryview, fds: Sequence[Fd]) -> None:
        if not self._out:
            self._loop.add_writer(self._fileno, self._writable)
            self._drained.clear()
        self._out.append((view, [fd.share() for fd in fds]))
        self.queued_bytes += len(view)

    def send_pieces(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Send up to IOV_MAX `pieces`, one after the other, as if they were one."""
        if self.closed or self._error is not None:
            return
        sent = 0 if self._out else self._attempt(self._sock.sendmsg, pieces)
        if self._error is None and sent < sum(map(len, pieces)):
            self._queue(memoryview(b"".join(pieces))[sent:], ())

    async def hung_up(self, seconds: float) -> bool:
        """Whether the peer hangs up within `seconds` after it has read what was sent.

        A peer that only stops writing has not hung up (POLLRDHUP, not POLLHUP); on TCP
        the two look alike, and the answer is False. Waits at most twice `seconds`.
        """
        end = self._loop.time() + seconds
        while self._unread() and self._loop.time() < end:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(_MOMENT)
        end = self._loop.time() + seconds
        while not self._is_hung_up() and self._loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(_MOMENT)
        return self._is_hung_up()

    def shut_down_writing(self) -> None:
        """Tell the peer that nothing follows; it can still answer."""
        if not self.closed and self._error is None:
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End the connection; what is still queued is lost."""
        if self.closed:
            return
        self.pause_reading()
        self._drop_queue()
        self.closed = True
        self._fileno = -1
        self._sock.close()

    def detach(self) -> Fd:
        """Give up the descriptor, which stays open; what is still queued is lost."""
        self.pause_reading()
        self._drop_queue()
        self.closed = True
        self._fileno = -1
        return Fd(self._sock.detach())

    def poll(self) -> None:
        """Deliver what is there already, without a turn of the event loop."""
        self._readable()

    def _unread(self) -> int:
        """Bytes on their way to the peer (Linux: SIOCOUTQ)."""
        if self.closed:
            return 0
        left = array.array("i", [0])
        fcntl.ioctl(self._fileno, termios.TIOCOUTQ, left)
        return left[0]

    def _is_hung_up(self) -> bool:
        if self.closed:
            return True
        poll = select.poll()
        poll.register(self._fileno, 0)  # POLLHUP and POLLERR are always told
        return bool(poll.poll(0))

    def _readable(self) -> None:
        # A read ends behind a message with descriptors, and a turn of the loop costs ten
        # times what a read does: take what is there, within bounds.
        for _ in range(_READS_A_TURN):
            if not self._reading or not self._read_once():
                return

    def _read_once(self) -> bool:
        """Read and deliver; return whether to read again in this turn of the loop."""
        try:
            data, fds = self._receive()
        except (BlockingIOError, InterruptedError):
            return False
        except (OSError, WireError) as error:
            self._fail(error)
            return False
        if not data:
            close_all(fds)
            self._end_of_input()
            return False
        may_be_more = bool(fds)
        self.on_data(data, fds)
        return may_be_more or (self._lingers and self._goes_on())

    def _goes_on(self) -> bool:
        """Whether a peer that was quick the last time is so again; it is waited for."""
        begun = now = time.perf_counter()
        is_quick, self._last_read = begun - self._last_read < _QUICK, begun
        while is_quick and self._reading and now - begun < _LINGER:
            if self._arrivals.poll(0):
                return True
            os.sched_yield()  # the peer may need this very CPU
            now = time.perf_counter()
        return False

    def _receive(self) -> tuple[bytes, list[Fd]]:
        """Read what is there and the descriptors that came with it, within bounds.

        Raises WireError when descriptors were lost on the way (MSG_CTRUNC), which happens
        when the process has no descriptor number left.
        """
        if not self._carries_fds:
            return self._sock.recv(_READ_SIZE), []
        data, ancillary, flags, _ = self._sock.recvmsg(_READ_SIZE, _ANCILLARY_SIZE, _CLOEXEC)
        fds = _descriptors(ancillary) if ancillary else []
        if flags & _CTRUNC:
            close_all(fds)
            raise WireError(
                "descriptors were lost in transit (MSG_CTRUNC); is RLIMIT_NOFILE "
                f"({os.sysconf('SC_OPEN_MAX')}) reached?"
            )
        return data, fds

    def _writable(self) -> None:
        while self._out:
            view, fds = self._out[0]
            sent = self._try_send(view, fds)
            if not sent:
                if self.crowded:
                    self._look_again_later()
                return
            close_all(fds)
            self.queued_bytes -= sent
            if sent < len(view):
                self._out[0] = (view[sent:], [])
                return
            self._out.popleft()
        self._drop_queue()

    def _look_again_later(self) -> None:
        """Rest: the socket itself could be written to all the time."""
        self._loop.remove_writer(self._fileno)
        self._loop.call_later(_MOMENT, self._look_again)

    def _look_again(self) -> None:
        if self._out:
            self._loop.add_writer(self._fileno, self._writable)

    def _try_send(self, view: memoryview, fds: Sequence[Fd]) -> int:
        if not fds:
            return self._attempt(self._sock.send, view)
        rights = array.array("i", [fd.fileno() for fd in fds])
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
        return self._attempt(self._sock.sendmsg, [view], ancillary)

    def _attempt(self, send: Callable[..., int], *arguments: Any) -> int:
        """Return the bytes taken by the kernel; 0 when it would block or the connection broke."""
        self.crowded = False
        try:
            return send(*arguments)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            if error.errno == errno.ETOOMANYREFS:
                self.crowded = True
            else:
                self._break(error)
            return 0

    def _drop_queue(self) -> None:
        if self._out or not self._drained.is_set():
            self._loop.remove_writer(self._fileno)
        for _, fds in self._out:
            close_all(fds)
        self._out.clear()
        self.queued_bytes = 0
        self._drained.set()


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[Fd]:
    """Own the descriptors of one read."""
    numbers = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(payload[: len(payload) - len(payload) % _INT_SIZE])
    return [Fd(number) for number in numbers]
