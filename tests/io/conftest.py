"""Someone who is told what comes in over a channel."""

from __future__ import annotations

import asyncio

import pytest

from qemu_sim.fds import Fd


class Told:
    """One end of a channel, and what it told."""

    def __init__(self, channel) -> None:
        self.channel = channel
        self.data = b""
        self.fds: list[Fd] = []
        self.closed: list[Exception | None] = []
        self.changed = asyncio.Event()
        channel.on_data = self._received
        channel.on_close = self._ended
        channel.start_reading()

    def _received(self, data: bytes, fds: list[Fd]) -> None:
        self.data += data
        self.fds += fds
        self.changed.set()

    def _ended(self, error: Exception | None) -> None:
        self.closed.append(error)
        self.changed.set()

    async def until(self, condition) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def listen():
    """Keep what a channel tells from now on."""
    return Told
