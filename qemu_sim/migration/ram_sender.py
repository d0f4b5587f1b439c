"""Guest RAM on its way out: what is really copied, and the time that all of it would take.

QEMU: migration/ram.c (ram_save_setup, ram_save_iterate, ram_save_complete)

The pages that the guest uses are really sent, once. How long it takes to send all that it
is said to have, and to dirty meanwhile, is the word of `ram_transfer.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from qemu_sim.migration import ram
from qemu_sim.migration.ram_transfer import RamTransfer
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qemu_sim.migration.side import SourceMachine
    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.vmstate import Sections

_BEAT = 0.25  # of the time for which a silent peer is waited for


class Carrier(Protocol):
    """What pages go by, if not by the stream itself, which then tells of them."""

    async def begin(self) -> bytes:
        """Get ready; returns what the stream has to say of it."""

    async def send(self, extents: Iterable[tuple[int, int]]) -> bytes:
        """Send the pages of `extents` (offset, length); returns what the stream says of it."""


class RamSender:
    """Sends the RAM of `machine`, unless it `travels` by descriptor, or stays where it is."""

    def __init__(
        self,
        machine: SourceMachine,
        stream: Stream,
        carrier: Carrier | None = None,
        *,
        travels: bool,
    ) -> None:
        """With a `carrier` the pages go by that."""
        self._memory = machine.memory
        self._carrier = carrier
        self._ignores_shared = machine.capabilities.enabled("x-ignore-shared")
        self._travels = travels
        self._section = 0
        self.page_bytes = 0
        """Written to the channel so far, as pages."""
        self.transfer = RamTransfer(machine, travels=travels)
        self.attach(stream)

    def attach(self, stream: Stream) -> None:
        """Go on over a new channel."""
        self._stream = stream
        stream.on_end = self.transfer.alarm.ring

    async def begin(self, sections: Sections) -> None:
        """Say which RAM there is, and send the pages that have data; the machine runs on."""
        self._stream.phase = "the destination to take guest RAM"
        self._section = sections.start_ram()
        self._stream.write(ram.setup(self._memory, ignore_shared=self._ignores_shared))
        if self._carrier is not None:
            self._stream.write(await self._carrier.begin())
        self._stream.write(ram.END_OF_PART + vmstream.footer(self._section))
        if not self._travels:
            await self._send(vmstream.PART, self._memory.extents())
        await self._stream.flush()

    async def send_used(self) -> None:
        """Send each page that the guest uses: it uses nothing that it did not allocate."""
        await self._send(vmstream.PART, self._memory.allocated())
        await self._stream.flush()

    def end_multifd(self) -> None:
        """Send what comes in the main channel."""
        self._carrier = None

    async def wait(self) -> None:
        """Wait until all has been sent that is to be sent now."""
        while self.transfer.advance():
            await self.wait_for_more()

    async def wait_for_more(self) -> None:
        """Wait for the RAM model; meanwhile show a sign of life, and look for one."""
        alarm, loop = self.transfer.alarm, asyncio.get_running_loop()
        beat = loop.call_later(self._stream.timeout * _BEAT, alarm.ring)
        try:
            await alarm.wait(self.transfer.moment)
        finally:
            beat.cancel()
        self._stream.check_open()
        await self._send(vmstream.PART, ())

    async def finish(self) -> None:
        """Send what a guest that has stopped uses, and that this was all."""
        if self._travels:
            await self.end()
            return
        self.transfer.send_rest("downtime")
        await self.wait()
        await self._send(vmstream.END, self._memory.allocated())

    def settle(self) -> None:
        """Note that RAM which travels has left nothing to send: the guest waits for less."""
        if self._travels:
            self.transfer.send_rest("downtime")
            self.transfer.advance()

    async def end(self) -> None:
        """Say that this was all."""
        await self._send(vmstream.END, ())

    async def _send(self, kind: int, extents: Iterable[tuple[int, int]]) -> None:
        stream = self._stream
        stream.write(vmstream.section_part(kind, self._section))
        if self._carrier is not None:
            await stream.flush()  # what multifd's channels wait for at their last SYNC
            stream.write(await self._carrier.send(extents))
            extents = ()
        for pieces in ram.pages(self._memory, extents):
            stream.write_pieces(pieces)
            self.page_bytes += sum(map(len, pieces))
            await stream.flush()
        stream.write(ram.END_OF_PART + vmstream.footer(self._section))
        await stream.flush()
