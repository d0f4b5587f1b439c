"""One ring as a server processes it: queue, eventfds, inflight marks.

QEMU: subprojects/libvhost-user/libvhost-user.c

It is started by its kick descriptor and stopped by GET_VRING_BASE; it is processed
while it is started and enabled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from qemu_sim.errors import WireError
from qemu_sim.virtio.device_queue import Chain, DeviceQueue
from qemu_sim.virtio.queue import MAX_SIZE, Ring

if TYPE_CHECKING:
    from qemu_sim.fds import Fd
    from qemu_sim.vhost_user_blk.inflight import InflightPart
    from qemu_sim.vhost_user_blk.regions import Regions


class Vring:
    """A ring in the front end's hands until `kick` is set. `on_kick` runs when it is told."""

    def __init__(self, on_kick: Callable[[], None]) -> None:
        self.size = 0
        self.base = 0
        self.enabled = False
        self.regions: Regions | None = None
        self._on_kick = on_kick
        self._ring: Ring | None = None
        self._queue: DeviceQueue | None = None
        self._inflight: InflightPart | None = None
        self._again: deque[int] = deque()
        self._kick: Fd | None = None
        self._call: Fd | None = None

    @property
    def is_active(self) -> bool:
        """Whether it may be processed."""
        return self._queue is not None and self.enabled

    def place(self, ring: Ring) -> None:
        """Set where it lies. Raises WireError for a size that cannot be."""
        if not 0 < ring.size <= MAX_SIZE or ring.size & (ring.size - 1):
            raise WireError(f"ring of {ring.size} descriptors")
        self._ring = ring

    def set_call(self, fd: Fd | None) -> None:
        """Use `fd`, owned from now on, to say that chains were returned."""
        if self._call is not None:
            self._call.close()
        self._call = _nonblocking(fd)

    def start(self, kick: Fd | None, regions: Regions, inflight: InflightPart | None) -> None:
        """Process the ring whenever `kick`, owned from now on, says so."""
        self.stop()
        self._kick = _nonblocking(kick)
        self.attach(regions, inflight)
        if self._kick is not None:
            asyncio.get_running_loop().add_reader(self._kick.fileno(), self._kicked)

    def attach(self, regions: Regions, inflight: InflightPart | None) -> None:
        """Find the ring in guest RAM. Raises WireError when it is not there."""
        if self._ring is None:
            raise WireError("ring started before its address was set")
        base = self.base if self._queue is None else self._queue.base
        self._queue = DeviceQueue(regions, self._ring, base)
        self.regions = regions
        self._inflight = inflight
        if inflight is not None:
            self._again.extend(inflight.recover(self._queue.used_index))

    def reattach(self, regions: Regions) -> None:
        """Go on in a new memory table."""
        if self._queue is not None:
            self._queue = DeviceQueue(regions, self._queue.ring, self._queue.base)
            self.regions = regions

    def stop(self) -> int:
        """Leave the ring alone; returns how many chains were taken, modulo 2^16."""
        if self._queue is not None:
            self.base = self._queue.base
            self._queue = None
        if self._kick is not None:
            asyncio.get_running_loop().remove_reader(self._kick.fileno())
            self._kick.close()
            self._kick = None
        self._again.clear()
        return self.base

    def close(self) -> None:
        """Stop, give the descriptors back, let go of guest RAM."""
        self.stop()
        self.regions = self._inflight = None
        self.set_call(None)

    def pop(self) -> Chain | None:
        """Take the next chain; first those another server had taken. Raises WireError."""
        assert self._queue is not None
        if self._again:
            return self._queue.chain(self._again.popleft())
        chain = self._queue.pop()
        if chain is not None and self._inflight is not None:
            self._inflight.take(chain.head)
        return chain

    def push(self, chain: Chain, written: int) -> None:
        """Return a chain, into which `written` bytes went."""
        assert self._queue is not None
        if self._inflight is not None:
            self._inflight.about_to_return(chain.head)
        self._queue.push(chain.head, written)
        if self._inflight is not None:
            self._inflight.returned(chain.head, self._queue.used_index)

    def call(self) -> None:
        """Tell the driver that chains were returned, if it cares."""
        assert self._queue is not None
        if self._call is not None and self._queue.wants_call():
            # A counter that is full says so too.
            with contextlib.suppress(BlockingIOError):
                os.eventfd_write(self._call.fileno(), 1)

    def suppress_kicks(self, suppress: bool) -> None:
        """Tell the driver whether new chains need no kick."""
        assert self._queue is not None
        self._queue.suppress_kicks(suppress)

    def _kicked(self) -> None:
        assert self._kick is not None
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._kick.fileno())
        self._on_kick()


def _nonblocking(fd: Fd | None) -> Fd | None:
    """Set O_NONBLOCK, which also holds for the front end: it is the same open file."""
    if fd is not None:
        os.set_blocking(fd.fileno(), False)
    return fd
