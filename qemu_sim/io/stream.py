"""What all channels have in common: who is told of what comes in, and how a channel ends.

QEMU: io/channel.c

The two sides break one by one. A broken writing side never calls `on_close` from `send`, and
the reading side goes on then: the other end's last words may still be on their way.
"""

from __future__ import annotations

import asyncio
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable

from qemu_sim.fds import Fd, close_all


class Stream(ABC):
    """Bytes, and descriptors where they can travel.

    `on_data(data, fds)` is called for each read; the callee owns `fds`. `on_close(error)`
    is called once: None at the orderly end of what can be read, else what broke it.
    Neither is called after `close`.
    """

    def __init__(self) -> None:
        self.on_data: Callable[[bytes, list[Fd]], None] = refuse_data
        self.on_close: Callable[[Exception | None], None] = _ignore_close
        self.queued_bytes = 0
        self.half_open = False  # whether it may still be written to when its input ended
        self.closed = False  # by `close`, or because it ended
        self._loop = asyncio.get_running_loop()
        self._drained = asyncio.Event()
        self._drained.set()
        self._reading = False
        self._error: Exception | None = None

    @property
    def broken(self) -> bool:
        """Whether what is sent is lost; `drain` raises why."""
        return self._error is not None

    async def drain(self) -> None:
        """Wait until all that was sent is with the kernel. Raises what broke the channel."""
        await self._drained.wait()
        if self._error is not None:
            raise self._error

    @abstractmethod
    def pause_reading(self) -> None:
        """Deliver nothing that is not on its way yet, until `start_reading`."""

    @abstractmethod
    def close(self) -> None:
        """End the channel; what is still queued is lost."""

    @abstractmethod
    def _drop_queue(self) -> None:
        """Lose what is still queued."""

    def _break(self, error: Exception) -> None:
        """Remember what broke the writing side."""
        self._error = error
        self._drop_queue()
        if not self._reading:
            self._loop.call_soon(self._fail, error)

    def _end_of_input(self) -> None:
        if self.half_open and self._error is None:
            self.pause_reading()
            self.on_close(None)
        else:
            self._fail(self._error)

    def _fail(self, error: Exception | None) -> None:
        if self.closed:
            return
        self._error = error or BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self.close()
        self.on_close(error)


def refuse_data(data: bytes, fds: list[Fd]) -> None:
    """Close what came and complain, as somebody should have been told."""
    close_all(fds)
    raise AssertionError(f"{len(data)} bytes arrived before on_data was set")


def _ignore_close(error: Exception | None) -> None:
    """Nobody has asked to be told."""
