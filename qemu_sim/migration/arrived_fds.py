"""Descriptors that have arrived on a channel, each with its place in the stream.

Bytes written before a message with descriptors may come glued to it in one read, but never
bytes written after it (Linux net/unix/af_unix.c, unix_stream_read_generic), so what came
with a read belongs to the read's last byte, given that such messages are one byte long.
"""

from __future__ import annotations

import collections
import logging

from qemu_sim.errors import MigrationError
from qemu_sim.fds import Fd, close_all

_log = logging.getLogger(__name__)


class ArrivedFds:
    """Owns what nobody has claimed yet, in the order of arrival."""

    def __init__(self) -> None:
        self._queue: collections.deque[tuple[int, list[Fd]]] = collections.deque()

    def __bool__(self) -> bool:
        return bool(self._queue)

    def add(self, place: int, fds: list[Fd]) -> None:
        """Keep `fds`, which came with the byte before `place`."""
        self._queue.append((place, fds))

    def take(self, place: int, what: str) -> Fd:
        """Return the one that came with the byte before `place`; `what` names it in errors."""
        if self._queue and self._queue[0][0] < place:
            self.check_all_claimed()
        if not self._queue or self._queue[0][0] != place:
            raise MigrationError(f"{what} was announced but no descriptor came with it")
        _, fds = self._queue.popleft()
        if len(fds) != 1:
            close_all(fds)
            raise MigrationError(f"{what} was announced, {len(fds)} descriptors came in its place")
        return fds[0]

    def take_first(self) -> Fd:
        """Return the first, wherever it came."""
        _, fds = self._queue[0]
        fd = fds.pop(0)
        if not fds:
            self._queue.popleft()
        return fd

    def check_all_claimed(self) -> None:
        """Raise MigrationError if there is any."""
        if self._queue:
            raise MigrationError(f"received fd {self._queue[0][1][0].fileno()} was never claimed")

    def close(self) -> None:
        """Drop all, and say which."""
        for _, fds in self._queue:
            for fd in fds:
                _log.warning("qemu_fclose: received fd %d was never claimed", fd.fileno())
            close_all(fds)
        self._queue.clear()
