"""A source's multifd channels: pages leave in packets, a channel's turn after the other's.

QEMU: migration/multifd.c (multifd_send_thread), migration/multifd-nocomp.c, multifd-zlib.c,
multifd-zero-page.c
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from qemu_sim.migration import multifd, ram
from qemu_sim.wire import multifd as wire
from qemu_sim.wire import vmram

if TYPE_CHECKING:
    from qemu_sim.migration.side import SourceMachine
    from qemu_sim.migration.stream import Stream

_PAGE = wire.PAGE
_FLUSH = vmram.MULTIFD_FLUSH.to_bytes(8, "big")


class MultifdSender:
    """Sends the pages of `machine` in the channels that `add` brings."""

    def __init__(self, machine: SourceMachine) -> None:
        parameters = machine.parameters
        self._memory = machine.memory
        self._uuid = multifd.uuid_of(machine)
        self._waits_each_section = multifd.waits_each_section(machine)
        # An older QEMU has no choice, and its zero pages go in the main stream.
        self._finds_zeroes = parameters.get("zero-page-detection") or "legacy"
        self._zlib_level: int | None = None
        if parameters["multifd-compression"] == "zlib":
            self._zlib_level = parameters.get("multifd-zlib-level") or 1
        self._channels: list[_Channel] = []
        self._packets = 0

    async def add(self, stream: Stream) -> None:
        """Take ownership of one more channel, and introduce it to the destination."""
        stream.phase = "the destination to take guest RAM"
        stream.write_only()
        stream.write(wire.hello(self._uuid, len(self._channels)))
        self._channels.append(_Channel(stream, self._zlib_level))
        await stream.flush()

    async def begin(self) -> bytes:
        """Have the destination wait until it knows the blocks, before it takes a page."""
        return await self.sync()

    async def send(self, extents: Iterable[tuple[int, int]]) -> bytes:
        """Send the pages of `extents` (offset, length), and wait for all channels if need be.

        Returns what the main stream has to say of it.
        """
        said, before = bytearray(), self._packets
        for offsets in _packets(extents, self._memory.size):
            said += await self._send_some(offsets, is_first=not said)
        if self._packets > before or self._waits_each_section:
            said += await self.sync()
        return bytes(said)

    async def sync(self) -> bytes:
        """Have the destination wait for all channels; returns what the main stream says of it."""
        for channel in self._channels:
            channel.stream.write(wire.pack(wire.Packet(self._next_number(), wire.SYNC)))
            await channel.stream.flush()
        return b"" if self._waits_each_section else _FLUSH

    def close(self) -> None:
        """End the connections."""
        for channel in self._channels:
            channel.stream.close()

    async def _send_some(self, offsets: range, *, is_first: bool) -> bytes:
        """Send one packet; returns the zero pages, where these go in the main stream."""
        with self._memory.view as view:
            zero = [at for at in offsets if self._finds_zeroes != "none" and ram.is_zero(view, at)]
            normal = sorted(set(offsets).difference(zero)) if zero else offsets
            channel = self._channels[self._packets % len(self._channels)]
            if self._finds_zeroes == "legacy":
                channel.send(self._next_number(), self._memory.name, view, normal, ())
            else:
                channel.send(self._next_number(), self._memory.name, view, normal, zero)
                zero = []
        await channel.stream.flush()
        return ram.zero_pages(self._memory, zero, is_first=is_first)

    def _next_number(self) -> int:
        self._packets += 1
        return self._packets - 1


class _Channel:
    """One channel, with its own compression if there is any."""

    def __init__(self, stream: Stream, zlib_level: int | None) -> None:
        self.stream = stream
        self._zlib = None if zlib_level is None else zlib.compressobj(zlib_level)

    def send(
        self, number: int, block: str, view: memoryview, normal: Iterable[int], zero: Iterable[int]
    ) -> None:
        """Send one packet with pages of `view`."""
        pages: list[bytes | memoryview] = [view[at : at + _PAGE] for at in normal]
        flags = 0
        if self._zlib is not None:
            flags = wire.ZLIB
            compressed = b"".join(map(self._zlib.compress, pages))
            pages = [compressed + self._zlib.flush(zlib.Z_SYNC_FLUSH)] if pages else []
        size = sum(map(len, pages))
        packet = wire.Packet(number, flags, block, tuple(normal), tuple(zero), size)
        self.stream.write_pieces([wire.pack(packet), *pages])


def _packets(extents: Iterable[tuple[int, int]], size: int) -> Iterator[range]:
    """Yield the offsets of the pages of each packet."""
    for start, length in extents:
        first = start - start % _PAGE
        end = min(-(-(start + length) // _PAGE) * _PAGE, size)
        room = wire.PAGES * _PAGE
        for at in range(first, end, room):
            yield range(at, min(at + room, end), _PAGE)
