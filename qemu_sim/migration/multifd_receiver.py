"""A destination's multifd channels: each is read by a task of its own.

QEMU: migration/multifd.c (multifd_recv_thread, multifd_recv_sync_main),
migration/migration.c (migration_ioc_process_incoming)

A channel that has come to a SYNC waits there until the main stream has come to it as well.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qemu_sim.errors import MigrationError, WireError
from qemu_sim.migration import multifd, ram
from qemu_sim.wire import multifd as wire
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from qemu_sim.migration.ram_blocks import RamBlocks
    from qemu_sim.migration.side import DestinationMachine
    from qemu_sim.migration.stream import Stream

_PAGE = wire.PAGE
_MAGIC_SIZE = 4


async def told_apart(streams: Sequence[Stream]) -> tuple[Stream, list[Stream]]:
    """Return the main channel, and the others; they come in any order. Raises MigrationError."""
    main, others = [], []
    for stream in streams:
        stream.phase = "the source"
        magic = await stream.peek(_MAGIC_SIZE)
        if magic == vmstream.HEADER[:_MAGIC_SIZE]:
            main.append(stream)
        elif magic == wire.MAGIC.to_bytes(_MAGIC_SIZE, "big"):
            others.append(stream)
        else:
            raise MigrationError(f"unknown channel magic: {int.from_bytes(magic, 'big')}")
    if len(main) != 1:
        raise MigrationError(f"{len(main)} of {len(streams)} channels are main ones")
    return main[0], others


class MultifdReceiver:
    """Loads pages from `channels`; `fail` is told what breaks one of them."""

    def __init__(
        self,
        machine: DestinationMachine,
        channels: Sequence[Stream],
        blocks: RamBlocks,
        fail: Callable[[MigrationError], None],
    ) -> None:
        """Take ownership of the channels, and begin to read them."""
        self._uuid = multifd.uuid_of(machine)
        self._memory = machine.memory
        self._bug = machine.bug
        self._blocks = blocks
        self._fail = fail
        self._error: MigrationError | None = None
        self.waits_each_section = multifd.waits_each_section(machine)
        self._channels = [_Channel(stream) for stream in channels]
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._serve(channel)) for channel in self._channels]

    async def sync(self) -> None:
        """Wait until all channels have come to their next SYNC. Raises what broke one."""
        for channel in self._channels:
            await channel.has_arrived.wait()
        if self._error is not None:
            raise self._error
        for channel in self._channels:
            channel.has_arrived.clear()
            channel.goes_on.set()

    def close(self) -> None:
        """End the connections."""
        for task in self._tasks:
            task.cancel()
        for channel in self._channels:
            channel.stream.close()

    async def _serve(self, channel: _Channel) -> None:
        """Read one channel up to its end."""
        try:
            await self._greet(channel)
            while not await channel.is_over():
                await self._packet(channel)
            error = MigrationError(f"multifd {channel.number}: the channel has ended")
        except (MigrationError, WireError, OSError) as reason:
            error = MigrationError(str(reason))
            self._fail(error)
        except Exception as reason:  # noqa: BLE001  (whatever it is, the source must hear of it)
            error = MigrationError(self._bug(reason))
            self._fail(error)
        self._error = self._error or error
        channel.has_arrived.set()

    async def _greet(self, channel: _Channel) -> None:
        uuid, channel.number = await wire.read_hello(channel.stream)
        if uuid != self._uuid:
            import uuid as uuids  # noqa: PLC0415 - for the words of an error

            received, local = (uuids.UUID(bytes=each) for each in (uuid, self._uuid))
            raise MigrationError(
                f"multifd: received uuid '{received}' and expected uuid '{local}' "
                f"for channel {channel.number}"
            )
        if channel.number > len(self._channels):
            raise MigrationError(
                f"multifd: received channel id {channel.number} is greater than "
                f"number of channels {len(self._channels)}"
            )

    async def _packet(self, channel: _Channel) -> None:
        packet = await wire.read_packet(channel.stream)
        if packet.normal or packet.zero:
            await self._load(channel, packet)
        if packet.flags & wire.SYNC:
            channel.has_arrived.set()
            await channel.goes_on.wait()
            channel.goes_on.clear()

    async def _load(self, channel: _Channel, packet: wire.Packet) -> None:
        is_ours = self._blocks.place(packet.block, len(packet.normal) + len(packet.zero))
        data = await channel.read_pages(packet)
        if not is_ours:
            return
        for offset in (*packet.normal, *packet.zero):
            if offset + _PAGE > self._memory.size:
                last = self._memory.size
                raise MigrationError(f"multifd: offset too long {offset} (max {last:x})")
        for at, offset in enumerate(packet.normal):
            page = data[at * _PAGE : (at + 1) * _PAGE]
            os.pwrite(self._memory.fd.fileno(), page, offset)
        for offset in packet.zero:
            ram.clear_page(self._memory, offset)


class _Channel:
    """One channel, and where it stands."""

    def __init__(self, stream: Stream) -> None:
        stream.patient = True  # the source may copy RAM for hours
        self.stream = stream
        self.number = 0
        self.has_arrived = asyncio.Event()
        self.goes_on = asyncio.Event()
        self._zlib = zlib.decompressobj()

    async def is_over(self) -> bool:
        """Whether the source has hung up, and not in the middle of a packet."""
        try:
            await self.stream.peek(1)
        except MigrationError:
            return self.stream.ended and not self.stream.torn
        return False

    async def read_pages(self, packet: wire.Packet) -> memoryview:
        """Read the payload of a packet. Raises MigrationError in QEMU's words."""
        payload = await self.stream.read(packet.size)
        expected = len(packet.normal) * _PAGE
        if packet.compression == wire.ZLIB:
            # One byte more, as what comes behind the last of the pages is read only then.
            payload = self._zlib.decompress(payload, expected + 1)
        elif packet.compression:
            raise MigrationError(
                f"multifd {self.number}: flags received {packet.compression:x} flags expected 0"
            )
        if len(payload) != expected:
            raise MigrationError(
                f"multifd {self.number}: packet size received {len(payload)} "
                f"size expected {expected}"
            )
        return memoryview(payload)
