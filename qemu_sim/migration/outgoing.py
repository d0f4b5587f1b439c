"""The source of one migration, from the first byte to the last.

QEMU: migration/migration.c (migration_thread), migration/savevm.c

An object that exists only while one migration is under way. What becomes of the machine
when it fails is what `ownership.py` says of where its `end` stands.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

from qemu_sim.migration import configuration, cpr
from qemu_sim.migration.attempt import EXPECTED
from qemu_sim.migration.carried import taken_along
from qemu_sim.migration.hand_over import HandOver
from qemu_sim.migration.mapped_ram import MappedRam
from qemu_sim.migration.multifd_sender import MultifdSender
from qemu_sim.migration.plain import Plain
from qemu_sim.migration.ram_sender import RamSender
from qemu_sim.migration.vmstate import BACKEND_SUFFIX, Sections
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from qemu_sim.clock import Clock
    from qemu_sim.migration.ownership import End
    from qemu_sim.migration.postcopy_source import Package
    from qemu_sim.migration.ram_sender import Carrier
    from qemu_sim.migration.ram_transfer import RamTransfer
    from qemu_sim.migration.side import SourceMachine
    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.transfer import Entry, Plan, Transferable

LIVE = ("running", "suspended")
_log = logging.getLogger(__name__)


class Dialogue(Protocol):
    """What the two ends say to each other beside the state."""

    end: End
    ram_travels: bool

    async def open(self) -> None:
        """Speak before anything is sent; the machine runs."""

    async def before_stop(self) -> None:
        """Make sure that the destination is fit to take over."""

    def end_state(self) -> None:
        """Take note that the end of the state goes out next."""

    async def finish(self, stopped_at_ns: int | None) -> None:
        """Give the machine away after the last byte of its state."""

    def abort(self, reason: str) -> None:
        """Take it back, and say so where that helps."""


class Outgoing:
    """Writes one machine to a stream; `plan` is None for a migration without hand-over."""

    def __init__(
        self, machine: SourceMachine, stream: Stream, plan: Plan | None, mode: str
    ) -> None:
        """`mode` is the migration parameter."""
        self._machine = machine
        self._mode = mode
        self.stream = stream
        self.plan = plan
        self.stopped = False
        self.state_name = ""
        self._ram: RamSender | None = None
        self._multifd: MultifdSender | None = None
        self._wants_postcopy = False
        self.stopped_at_ns: int | None = None
        self._plain = Plain(machine.capabilities, stream)
        self._dialogue: Dialogue = self._plain if plan is None else HandOver(machine, stream, plan)
        self._moving: list[Entry] = []
        self._quiet: list[Entry] = []
        self._drained: list[Transferable] = []
        self._sections = Sections(stream)

    @property
    def clock(self) -> Clock:
        """The machine's time."""
        return self._machine.clock

    @property
    def end(self) -> End:
        """Where this side stands."""
        return self._dialogue.end

    @property
    def wants_postcopy(self) -> bool:
        """Whether the destination is to start before it has all of RAM."""
        return self._wants_postcopy

    def start_postcopy(self) -> None:
        """Let the destination start before it has all of RAM."""
        self._wants_postcopy = True
        if self._ram is not None:
            self._ram.transfer.interrupt()

    @property
    def transfer(self) -> RamTransfer:
        """How RAM gets on, from `begin` on."""
        return self._sender.transfer

    @property
    def other_bytes(self) -> int:
        """Bytes written to the channel so far that are not RAM."""
        return self.stream.sent_bytes - self._sender.page_bytes

    async def add_channel(self, stream: Stream) -> None:
        """Use one more channel, for pages of RAM."""
        if self._multifd is None:
            self._multifd = MultifdSender(self._machine)
        await self._multifd.add(stream)

    async def begin(self) -> None:
        """Send the header and agree with the destination; the machine runs on."""
        machine = self._machine
        await machine.hooks.reach("connected")
        self.stream.write(vmstream.HEADER + configuration.section(machine))
        await self._dialogue.open()
        self._moving = [] if self.plan is None else self.plan.transferred()
        travels = self._dialogue.ram_travels or cpr.leaves_ram(machine, self._mode)
        carrier: Carrier | None = self._multifd
        if machine.capabilities.enabled("mapped-ram"):
            carrier = MappedRam(machine.memory, self.stream, left_out=travels)
        self._ram = RamSender(machine, self.stream, carrier, travels=travels)

    async def copy_ram(self) -> None:
        """Send guest RAM while the machine runs, until the rest is small enough."""
        sender = self._sender
        sender.transfer.begin(interrupted=self._wants_postcopy)
        await sender.begin(self._sections)
        await self._dialogue.before_stop()
        while not self._wants_postcopy and sender.transfer.advance():
            await sender.wait_for_more()

    async def stop(self) -> None:
        """Stop the machine; finish what stays behind, keep quiet what travels."""
        machine = self._machine
        await machine.hooks.reach("before-stop")
        self.state_name = machine.state_name
        is_live, now = self.state_name in LIVE, time.monotonic_ns()
        machine.stop_for_migration()
        self.stopped = True
        if is_live:
            self.stopped_at_ns = now
            await self._drain()
        for entry in self._moving:
            assert entry.device.backend is not None
            entry.device.backend.quiesce()
            self._quiet.append(entry)
        await machine.hooks.reach("stopped")

    async def send_devices(self) -> None:
        """Send the rest of RAM, device state, and the descriptors that travel."""
        await self._sender.finish()
        await self.write_devices(self._sections)
        self._send_backends()
        await self.stream.flush()
        self._sender.settle()
        self._dialogue.end_state()
        self._sections.close(configuration.described(self._machine))

    async def write_devices(self, sections: Sections) -> None:
        """Write the run state and each device's own state, with the TAPs a plain stream carries.

        The images are the destination's to open from now on.
        """
        self._machine.leave_images()
        sections.write_global_state(self.state_name, asleep=self._machine.asleep)
        with taken_along(self._machine) as carried:
            for device in self._machine.devices:
                sections.write_device(device.section, device.save(), carried.get(device.path))
                await self._machine.hooks.reach("device-sent")

    async def finish(self) -> None:
        """Hear that the destination goes on, as far as it says so."""
        await self._dialogue.finish(self.stopped_at_ns)

    # Postcopy.

    async def send_used_pages(self) -> None:
        """Send each page that the guest uses, before it runs elsewhere."""
        await self._sender.send_used()

    async def send_package(self, package: Package) -> None:
        """Fill and send `package`, at whose end the destination runs. No way back behind it."""
        package.begin()
        await self.write_devices(Sections(package, self._sections.next_id))
        package.end()
        await self._plain.send_package(bytes(package.data))
        self._sender.end_multifd()
        self.transfer.send_rest("postcopy")

    async def finish_postcopy(self) -> None:
        """Send the rest of RAM, and hear that the destination has it all."""
        self.transfer.go_on()
        try:
            await self._sender.wait()
            await self._sender.end()
            self.stream.write(bytes([vmstream.EOF]))
            await self._dialogue.finish(self.stopped_at_ns)
        finally:
            self.transfer.freeze()

    def attach(self, stream: Stream) -> None:
        """Have a new channel, in postcopy."""
        self.stream = stream
        self._sender.attach(stream)
        self._plain.attach(stream)

    async def resume(self) -> None:
        """Go on over a new channel, once the destination does."""
        await self._plain.resume()

    def release(self) -> None:
        """Close the copies of what was handed over: the destination owns it."""
        for entry in self._moving:
            assert entry.device.backend is not None
            entry.device.backend.release()
        self._moving.clear()
        self._quiet.clear()

    def can_still_be_kept(self) -> bool:
        """Whether a cancel comes in time; what is queued of the state's end is dropped for it."""
        if self.end.knows("torn") and self.stream.queued_bytes:
            self.stream.close()
            self.end.step("torn")
        return self.end.may_go_back or self.end.state == "kept"

    async def take_back(self) -> None:
        """Make every backend usable again: nothing was given away.

        One whose server fails stays silent; the others and the guest go on.
        """
        assert self.end.state == "kept"
        self._machine.plug_again()
        while self._quiet:
            backend = self._quiet.pop().device.backend
            assert backend is not None
            try:
                backend.unquiesce()
            except EXPECTED as error:
                _log.error("%s", error)
        while self._drained:
            try:
                await self._drained.pop().restart()
            except EXPECTED as error:
                _log.error("%s", error)

    def abort(self, reason: str) -> None:
        """Take the machine back; a destination that waits for commit is told."""
        self._dialogue.abort(reason)

    def close(self) -> None:
        """End the connection."""
        self.stream.close()
        if self._multifd is not None:
            self._multifd.close()

    @property
    def _sender(self) -> RamSender:
        assert self._ram is not None
        return self._ram

    async def _drain(self) -> None:
        moving = {entry.device.path for entry in self._moving}
        for device in self._machine.devices:
            if device.path not in moving:
                self._drained.append(device)
                await device.drain()

    def _send_backends(self) -> None:
        states, riders = {}, {}
        for entry in self._moving:
            assert entry.device.backend is not None
            states[entry.device.name] = entry.device.backend.hand_over()
            fds = states[entry.device.name][1]
            riders[entry.device.name] = [[tagged.fd] for tagged in fds]
            entry.fds = len(fds)
        with self._machine.hooks.descriptors(riders) as sent:
            for entry in self._moving:
                name = entry.device.path + BACKEND_SUFFIX
                state, fds = states[entry.device.name]
                self._sections.write_backend(name, state, fds, sent[entry.device.name])
