"""The destination of one migration, from accept to the running machine.

QEMU: migration/savevm.c (qemu_loadvm_state), migration/migration.c (process_incoming_migration)

Nothing that may be handed over is open before the source's first words were heard: an
offer, or a stream without one, behind which everything is opened the ordinary way.
"""

from __future__ import annotations

import errno
import struct
import time
from typing import TYPE_CHECKING, ClassVar

from qemu_sim.errors import LoadError, MigrationError, QMPError, WireError
from qemu_sim.migration import configuration, cut_off
from qemu_sim.migration.ownership import ONE_WAY, RETURN_PATH, End
from qemu_sim.migration.section_loader import SectionLoader
from qemu_sim.migration.stream import said
from qemu_sim.migration.take_over import TakeOver
from qemu_sim.migration.vmstate import read_description
from qemu_sim.wire import vmmessage, vmstream
from qemu_sim.wire.bytes_reader import BytesReader

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from qemu_sim.migration.postcopy_source import Enter
    from qemu_sim.migration.side import DestinationMachine
    from qemu_sim.migration.skipped import Skipped
    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.transfer import Plan
    from qemu_sim.wire.vmstream import Reader

_U32 = struct.Struct(">I")
_PACKAGE_MAX = 64 << 20  # bytes; a machine with hundreds of devices has a few millions


class Incoming:
    """Reads one machine from a stream."""

    def __init__(
        self,
        machine: DestinationMachine,
        stream: Stream,
        enter: Enter,
        channels: Sequence[Stream] = (),
    ) -> None:
        """`channels` are those of multifd."""
        self._machine = machine
        self._stream = stream
        self._enter = enter
        self.in_postcopy = False
        self._opened = False
        self._stopped_at_ns: int | None = None
        self._sections = SectionLoader(machine, stream, channels)
        self._end = End(ONE_WAY.destination)

    @property
    def plan(self) -> Plan | None:
        """What becomes of each backend, if the source wants to hand any over."""
        return None if self._take_over is None else self._take_over.plan

    @property
    def run_state(self) -> tuple[str, bool]:
        """The source's, once it was loaded, and whether it stopped a guest that slept."""
        return self._sections.run_state

    @property
    def skipped(self) -> Skipped:
        """What a real QEMU's stream had that is not simulated."""
        return self._sections.skipped

    @property
    def holding(self) -> bool:
        """Whether a lost source's backends are held here, stopped."""
        return self.end.state == "held"

    @property
    def end(self) -> End:
        """Where this side stands."""
        return self._end if self._take_over is None else self._take_over.end

    def cut_off(self, error: Exception) -> LoadError | None:
        """Return what QEMU says if `error` is that the stream has ended where it must not."""
        return self._stream.lacking if self._stream.is_end(error) else None

    async def load(self) -> None:
        """Read everything up to the end of the sections; nothing runs yet, but in postcopy."""
        self._stream.phase = "the source"
        try:
            await vmstream.read_header(self._stream)
        except MigrationError:
            self._stream.lacking = cut_off.in_header(bytes(self._stream.arrived))
            raise
        self._stream.lacking = cut_off.in_configuration()
        await configuration.begin(self._stream, self._machine)
        await self.load_rest()

    async def load_rest(self) -> None:
        """Read from the next section on."""
        while await self._item(self._stream):
            pass
        if not (self.in_postcopy or self._sections.is_described):
            await self._read_description()
        self._sections.arrivals.complete()

    async def _read_description(self) -> None:
        """Read the description to its end.

        QEMU starts without. Here a source that could not write its last byte goes on.
        """
        self._stream.lacking = LoadError("the description is cut off", number=errno.EIO)
        await read_description(self._stream)
        self._stream.patient = False

    def attach(self, stream: Stream) -> None:
        """Go on reading from a new channel, in postcopy."""
        self._stream = stream
        self._sections.attach(stream)
        stream.patient = True

    async def take_over(self) -> None:
        """Start, after commit if the source offered to give one; then say so."""
        if self._take_over is not None:
            self._stopped_at_ns = await self._take_over.await_commit()
        elif not self.in_postcopy:
            self.end.hear("all")
        if not self.in_postcopy:
            self.start()
        if self._take_over is not None:
            await self._take_over.confirm()
        elif self.end.knows("!shut"):
            self.end.step("!shut")
            self._stream.qemu_reply(vmmessage.RETURN_SHUT, _U32.pack(0))

    def start(self, why: str = "start") -> None:
        """Own what was adopted and let the machine go on; `why` is a move of `end`."""
        self.end.step(why)
        self._stream.eager = False
        if self._take_over is not None:
            self._take_over.activate()
        self._sections.arrivals.activate()
        run_state, asleep = self._sections.run_state
        # A TAP that was handed over is where it was, as far as the network is concerned.
        stayed = {entry.device.path for entry in self.plan.transferred()} if self.plan else set()
        self._machine.announce_arrival(stayed)
        self._machine.continue_as(run_state, asleep=asleep)
        if self._take_over is not None and self._stopped_at_ns is not None:
            # Both ends are on one host, and so on one monotonic clock.
            blackout = (time.monotonic_ns() - self._stopped_at_ns) // 1000
            self._take_over.measured(blackout)

    def fail(self, reason: str) -> None:
        """Tell the source that nothing runs here, and why if it understands that.

        What runs already goes on, whatever failed.
        """
        if self.end.fail() != "empty":
            return
        if self._take_over is not None:
            self._take_over.refuse(reason)
        elif self._stream.duplex:
            self._stream.qemu_reply(vmmessage.RETURN_SHUT, _U32.pack(1))
        self.give_up()

    def give_up(self) -> None:
        """Close what was adopted: the source owns it still."""
        if self._take_over is not None:
            self._take_over.give_up()
        self._sections.arrivals.give_up()

    def close(self) -> None:
        """End the connection."""
        self._stream.close()
        self._sections.end_multifd()

    @property
    def _take_over(self) -> TakeOver | None:
        return self._sections.take_over

    async def _item(self, reader: Reader) -> bool:
        """Read one section, or part of one, or a command; False at the end."""
        stream = self._stream
        stream.lacking = cut_off.between_sections()
        kind = await vmstream.read_byte(reader)
        if kind == vmstream.SUBSECTION:
            stream.lacking = cut_off.in_configuration()
            await configuration.check_subsection(reader, self._machine)
        elif kind == vmstream.COMMAND:
            await self._command(await vmmessage.read_message(reader))
        elif kind in (vmstream.START, vmstream.FULL):
            stream.lacking = cut_off.in_section_head()
            section = await vmstream.read_section(reader, kind)
            if not self._opened:
                await self._open()
            return await self._sections.load(reader, section)
        elif kind in (vmstream.PART, vmstream.END):
            stream.lacking = cut_off.in_part_head()
            section_id = await vmstream.read_u32(reader)
            await self._sections.load_ram(section_id, is_last=kind == vmstream.END)
        elif kind != vmstream.EOF:
            raise vmstream.unknown_kind(kind)
        return kind != vmstream.EOF

    async def _command(self, message: vmmessage.Message) -> None:
        self._stream.trace_command(message)
        if message.code == vmmessage.COMMAND_ABORT:
            raise said(message)
        negotiates = self._machine.dialect.NEGOTIATES and not self._opened
        if message.code == vmmessage.COMMAND_OFFER and negotiates:
            take_over = TakeOver(self._machine, self._stream, self._sections.by_path)
            self._sections.take_over = take_over
            await take_over.answer(message.body, self._open)
            return
        act = self._COMMANDS.get(message.code)
        if act is None:
            raise _unknown_command(message)
        await act(self, message.data)

    async def _open_return_path(self, _: bytes) -> None:
        if self._end.knows("?package"):
            raise WireError("CMD_OPEN_RETURN_PATH called when RP already open")
        self._end = End(RETURN_PATH.destination)

    async def _nothing(self, _: bytes) -> None:
        """A command that asks nothing of us."""

    async def _pong(self, number: bytes) -> None:
        """Answer when the backends are open, so that the source hears of a missing one."""
        if not self._opened:
            await self._open()
        if self.end.knows("!loaded"):
            self.end.step("!loaded")
        self._stream.qemu_reply(vmmessage.RETURN_PONG, number)
        if self._machine.capabilities.enabled("switchover-ack"):
            self._stream.qemu_reply(vmmessage.RETURN_SWITCHOVER_ACK)
        await self._stream.flush_words()

    async def _packaged(self, size: bytes) -> None:
        if len(size) != _U32.size:
            raise WireError(f"CMD_PACKAGED with {len(size)} bytes where its length was expected")
        length = _U32.unpack(size)[0]
        if length > _PACKAGE_MAX:
            raise WireError(f"Unreasonably large packaged state: {length}")
        package = BytesReader(await self._stream.read(length))
        self.end.hear("package")
        while package.left:
            await self._item(package)

    async def _listen(self, _: bytes) -> None:
        await self._enter("postcopy-device")

    async def _run(self, _: bytes) -> None:
        if not self.end.knows("start"):
            raise WireError("CMD_POSTCOPY_RUN in wrong postcopy state")
        await self._enter("postcopy-active")
        self.in_postcopy = True
        self._sections.end_multifd()
        self.start()

    async def _resume(self, _: bytes) -> None:
        await self._enter("postcopy-active")
        self._stream.qemu_reply(vmmessage.RETURN_RESUME_ACK, _U32.pack(1))
        await self._stream.flush()

    _COMMANDS: ClassVar = {
        vmmessage.COMMAND_OPEN_RETURN_PATH: _open_return_path,
        vmmessage.COMMAND_PING: _pong,
        vmmessage.COMMAND_POSTCOPY_ADVISE: _nothing,
        vmmessage.COMMAND_POSTCOPY_LISTEN: _listen,
        vmmessage.COMMAND_POSTCOPY_RUN: _run,
        vmmessage.COMMAND_POSTCOPY_RESUME: _resume,
        vmmessage.COMMAND_PACKAGED: _packaged,
        vmmessage.COMMAND_SWITCHOVER_START: _nothing,
    }

    async def _open(self, but: Collection[str] = ()) -> None:
        """Open every backend that is not about to be handed over, nor to come in the stream."""
        self._opened = True
        self._stream.patient = True  # a source may copy RAM for hours
        for device in self._machine.devices:
            if device.path not in but and not self._machine.dialect.stays_closed(device):
                try:
                    await device.open()
                except QMPError as error:
                    raise MigrationError(f"Device '{device.name}': {error}") from None


def _unknown_command(message: vmmessage.Message) -> LoadError:
    code = f"MIG_CMD 0x{message.code:x}"
    if message.code <= vmmessage.COMMAND_SWITCHOVER_START:
        return LoadError(f"{code} is not simulated by qemu-sim")
    # Ours frame their length alone; the JSON follows.
    size = _U32.size if message.code in vmmessage.NAMES else len(message.data)
    return LoadError(f"{code} unknown (len 0x{size:x})")
