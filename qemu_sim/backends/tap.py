"""An open TAP interface: its queues, and frames through them.

QEMU: net/tap.c

The queues are shared open files after a hand-over, so reading is all or nothing: between
`stop` and `start` not one byte is read, and nothing here changes the interface unasked.
The event loop waits for one descriptor, an epoll of all queues, so that neither takes
longer the more queues there are: a guest stands still meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
from typing import TYPE_CHECKING

from qemu_sim.fds import Fd, close_all
from qemu_sim.io import tun
from qemu_sim.wire.virtio_net_header import complete_frame, plain_header

if TYPE_CHECKING:
    from qemu_sim.backends.netdev import Receive

_BATCH = 64  # frames a queue may deliver before others get their turn
_READ_SIZE = 0x11000  # net/tap.h NET_BUFSIZE: 64 KiB of frame and room for headers
_log = logging.getLogger(__name__)


class Tap:
    """The queues of one TAP interface, owned here; `name` is the interface's."""

    def __init__(
        self, name: str, queues: list[Fd], header_length: int, enabled: int | None = None
    ) -> None:
        """Own `queues`; each frame has `header_length` bytes before it, 0 for none.

        The kernel uses the first `enabled` queues only, by default all.
        """
        self.name = name
        self.queues = queues
        self.header_length = header_length
        self.enabled = len(queues) if enabled is None else enabled
        self.failure: str | None = None
        self._header = plain_header(header_length)
        self._arrivals = select.epoll()
        self._numbers = {fd.fileno(): number for number, fd in enumerate(queues)}
        for fd in queues[: self.enabled]:
            self._arrivals.register(fd.fileno(), select.EPOLLIN)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._receive: Receive | None = None

    def start(self, receive: Receive) -> None:
        """Pass each frame to `receive`, with the number of its queue."""
        self.stop()
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._arrivals.fileno(), self._arrived)

    def stop(self) -> None:
        """Read nothing from now on; frames stay in the kernel's queue."""
        self._receive = None
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.remove_reader(self._arrivals.fileno())

    def send(self, queue: int, frame: bytes) -> bool:
        """Give one frame to the host; False when the kernel refused it (interface down)."""
        try:
            os.write(self.queues[queue].fileno(), self._header + frame)
        except OSError as error:
            _log.debug("%s: frame dropped: %s", self.name, error)
            return False
        return True

    def enable(self, count: int) -> None:
        """Let the kernel use the first `count` queues only."""
        for number, fd in enumerate(self.queues):
            if self.enabled <= number < count:
                tun.enable_queue(fd, True)
                self._arrivals.register(fd.fileno(), select.EPOLLIN)
            elif count <= number < self.enabled:
                self._arrivals.unregister(fd.fileno())
                tun.enable_queue(fd, False)
        self.enabled = count

    def close(self) -> None:
        """Stop reading and close the queues; the interface goes with the last one."""
        self.stop()
        self._arrivals.close()
        close_all(self.queues)

    def _arrived(self) -> None:
        for fileno, _ in self._arrivals.poll(0):
            self._readable(self._numbers[fileno])

    def _readable(self, queue: int) -> None:
        fd = self.queues[queue].fileno()
        for _ in range(_BATCH):
            # A frame's answer may end in a stop.
            if self._receive is None:
                return
            try:
                packet = os.read(fd, _READ_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._fail(error)
                return
            frame = complete_frame(packet, self.header_length) if self._header else packet
            if frame is not None:
                self._receive(queue, frame)

    def _fail(self, error: OSError) -> None:
        """Give up reading: the interface was deleted, and would only wake us for ever."""
        self.failure = f"TAP {self.name} cannot be read: {error.strerror}"
        _log.error("%s", self.failure)
        self.stop()
