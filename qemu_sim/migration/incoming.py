"""The destination of one migration, from accept to the running machine.

QEMU: migration/savevm.c (qemu_loadvm_state), migration/migration.c (process_incoming_migration)

Nothing that may be handed over is open before the offer was judged. What is not taken is
opened then, while the source still runs, so that a missing server or a busy TAP fails the
migration with the source untouched.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.migration import offer as offers
from qemu_sim.migration import ram
from qemu_sim.migration.side import Side
from qemu_sim.migration.stream import said
from qemu_sim.migration.transfer import Entry, Plan
from qemu_sim.migration.vmstate import BACKEND_SUFFIX, GLOBAL_STATE, RAM, read_backend
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.transfer import Transferable

_log = logging.getLogger(__name__)
_SOURCE_STATES = ("running", "paused", "prelaunch", "postmigrate", "shutdown")


class Destination(Side, Protocol):
    """What the destination of a migration needs of its machine."""

    @property
    def transfer_by_default(self) -> bool:
        """What `backend-transfer=auto` means for this machine type."""

    def continue_as(self, run_state: str) -> None:
        """Go on in the source's run state (RESUME when that is running)."""


class SourceLostError(MigrationError):
    """The source vanished between `ready` and commit: what arrived is held, stopped."""


class Incoming:
    """Reads one machine from a stream."""

    def __init__(self, machine: Destination, stream: Stream) -> None:
        self._machine = machine
        self._stream = stream
        self._by_path = {device.path: device for device in machine.devices}
        self._ids: dict[int, vmstream.Section] = {}
        self._opened = False
        self._adopted: list[Entry] = []
        self._run_state = "running"
        self._stopped_at_ns: int | None = None
        self._offered = False
        self.plan: Plan | None = None
        self.holding = False

    async def load(self) -> None:
        """Read everything up to the end of the sections; nothing runs yet."""
        stream = self._stream
        stream.phase = "the source"
        await vmstream.read_header(stream)
        while True:
            kind = await vmstream.read_byte(stream)
            if kind == vmstream.CONFIGURATION:
                await self._configuration()
            elif kind == vmstream.COMMAND:
                await self._command(await stream.read_message())
            elif kind in (vmstream.START, vmstream.FULL):
                await self._section(await vmstream.read_section(stream, kind))
            elif kind in (vmstream.PART, vmstream.END):
                await self._ram_part(await vmstream.read_u32(stream))
            elif kind == vmstream.EOF:
                break
            else:
                raise WireError(f"Unknown savevm section type {kind}")
        await self._description()

    async def take_over(self) -> None:
        """Say that everything is checked, wait for commit, and start."""
        if self._offered:
            await self._await_commit()
        self.start()
        if self._offered:
            await self._confirm()

    def start(self) -> None:
        """Own what was adopted and let the machine go on."""
        self.holding = self._stream.eager = False
        for entry in self._adopted:
            assert entry.device.backend is not None
            entry.device.backend.activate()
            entry.outcome = "transferred"
        self._machine.continue_as(self._run_state)
        self._measure()

    def refuse(self, reason: str) -> None:
        """Tell the source why, if the channel still carries words."""
        if not self._offered or self._stream.ended:
            return
        entries = self.plan.entries if self.plan else ()
        refused = next((entry for entry in entries if entry.outcome == "refused"), None)
        body: dict[str, Any] = {"reason": reason}
        if refused is not None:
            body |= {"device": refused.device.path, "detail": refused.reason}
        self._stream.reply(vmstream.REPLY_REFUSED, body)

    def give_up(self) -> None:
        """Close what was adopted: the source owns it still."""
        self.holding = False
        while self._adopted:
            entry = self._adopted.pop()
            assert entry.device.backend is not None
            entry.device.backend.disown()

    def close(self) -> None:
        """End the connection."""
        self._stream.close()

    async def _configuration(self) -> None:
        received = await vmstream.read_text(self._stream)
        local = self._machine.machine_type
        if received != local:
            raise MigrationError(f"Machine type received is '{received}' and local is '{local}'")

    async def _command(self, message: vmstream.Message) -> None:
        if message.code == vmstream.COMMAND_ABORT:
            raise said(message)
        if message.code != vmstream.COMMAND_OFFER or self._opened:
            raise WireError(f"Unknown command 0x{message.code:x} in the migration stream")
        await self._machine.hooks.reach("offer-received")
        await self._offer(message.body)

    async def _offer(self, offer: dict[str, Any]) -> None:
        self._offered = True  # from here on the source listens to what is refused
        offers.check(offer)
        if offer["transfer"]:
            self.plan = Plan()
            await self._judge(offer, self.plan)
        await self._open_the_rest()
        entries = self.plan.entries if self.plan else ()
        reopened = {entry.device.path: entry.reason for entry in entries if entry.outcome}
        self._stream.reply(vmstream.REPLY_ANSWER, {"reopened": reopened})
        await self._stream.flush()
        await self._machine.hooks.reach("answer-sent")

    async def _judge(self, offer: dict[str, Any], plan: Plan) -> None:
        machine, stream, memory = self._machine, self._stream, self._machine.memory
        with await stream.read_fd("the handshake descriptor") as nonce:
            offers.check_handshake(offer, nonce)
        offers.judge(offer, self._by_path, plan, default_on=machine.transfer_by_default)
        offers.check_ram(offer, memory)
        if memory.shared:
            memory.adopt(await stream.read_fd("guest RAM"))

    async def _open_the_rest(self) -> None:
        """Open every backend that is not about to be handed over."""
        self._opened = True
        kept = {entry.device.path for entry in self.plan.transferred()} if self.plan else set()
        for device in self._machine.devices:
            if device.path not in kept:
                try:
                    await device.open()
                except QMPError as error:
                    raise MigrationError(f"Device '{device.name}': {error}") from None

    async def _section(self, section: vmstream.Section) -> None:
        if not self._opened:
            await self._open_the_rest()
        self._ids[section.id] = section
        name = section.name
        self._stream.trace("in", {"section": name}, 0)
        if name == RAM:
            await ram.load(self._stream, self._machine.memory)
        elif name == GLOBAL_STATE:
            state = await vmstream.read_state(self._stream)
            self._run_state = _run_state(state)
            self._stream.eager = self.plan is not None  # the guest stands still
        elif name.removesuffix(BACKEND_SUFFIX) in self._by_path:
            await self._device(name)
        else:
            raise WireError(
                f"Unknown section or instance '{name}' {section.instance}. Make sure that your "
                "current VM setup matches your saved VM setup, including any hotplugged devices"
            )
        await vmstream.read_footer(self._stream, section)

    async def _ram_part(self, section_id: int) -> None:
        section = self._ids.get(section_id)
        if section is None or section.name != RAM:
            raise WireError(f"Unknown savevm section {section_id}")
        await ram.load(self._stream, self._machine.memory)
        await vmstream.read_footer(self._stream, section)

    async def _device(self, name: str) -> None:
        device = self._by_path[name.removesuffix(BACKEND_SUFFIX)]
        if not name.endswith(BACKEND_SUFFIX):
            self._load_device(device, await vmstream.read_state(self._stream))
            return
        entry = self._entry(device)
        assert device.backend is not None
        state, fds = await read_backend(self._stream, device.name)
        self._stream.trace("in", {"descriptors": device.name}, len(fds))
        try:
            device.backend.adopt(state, fds)
        except MigrationError as error:
            raise MigrationError(entry.refuse(str(error))) from None
        entry.fds = len(fds)
        self._adopted.append(entry)

    def _load_device(self, device: Transferable, state: dict[str, Any]) -> None:
        try:
            device.load(state)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MigrationError(f"Device '{device.name}': malformed state: {error!r}") from None

    def _entry(self, device: Transferable) -> Entry:
        for entry in self.plan.transferred() if self.plan else ():
            if entry.device is device and entry not in self._adopted:
                return entry
        raise WireError(f"Device '{device.name}' was not agreed to be transferred")

    async def _description(self) -> None:
        kind = await vmstream.read_byte(self._stream)
        if kind != vmstream.VMDESCRIPTION:
            raise WireError(f"description expected, got section type {kind}")
        await self._stream.read(await vmstream.read_u32(self._stream))

    async def _await_commit(self) -> None:
        for entry in self.plan.transferred() if self.plan else ():
            if entry not in self._adopted:
                raise MigrationError(entry.refuse("it did not arrive"))
        self._stream.check_all_claimed()
        hooks = self._machine.hooks
        await hooks.reach("descriptors-received")
        self._stream.phase = "commit"
        await self._say_ready()
        await hooks.reach("ready-sent")
        message = await self._commit_message()
        self._stopped_at_ns = message.body.get("stopped-at-ns")
        await hooks.reach("commit-received")

    async def _say_ready(self) -> None:
        """A source that is gone already does not hear it; its last word is read next."""
        self._stream.reply(vmstream.REPLY_READY, {})
        try:
            await self._stream.flush()
        except MigrationError:
            if not self._stream.ended:
                raise

    async def _commit_message(self) -> vmstream.Message:
        try:
            kind = await vmstream.read_byte(self._stream)
            message = await self._stream.read_message()
        except MigrationError as error:
            if self._stream.ended:
                raise self._lost() from None
            raise MigrationError(f"{error}; what was received is closed") from None
        if kind == vmstream.COMMAND and message.code == vmstream.COMMAND_ABORT:
            raise said(message)
        if kind != vmstream.COMMAND or message.code != vmstream.COMMAND_COMMIT:
            raise WireError(f"message 0x{message.code:x} where commit was expected")
        return message

    def _lost(self) -> SourceLostError:
        """A source that goes on says so before it leaves; this one did not."""
        self.holding = True
        return SourceLostError(
            "the source was lost before commit; the machine is held here, stopped: "
            "'cont' takes it over if the source is really gone"
        )

    async def _confirm(self) -> None:
        """Tell the source that it may let go. This machine runs whether or not it hears."""
        try:
            await self._machine.hooks.reach("started")
            self._stream.reply(vmstream.REPLY_STARTED, self._report())
            await self._stream.flush()
        except MigrationError as error:
            _log.warning("the source did not hear that the machine started: %s", error)

    def _measure(self) -> None:
        """Note the blackout: both ends are on one host, and so on one monotonic clock."""
        if self.plan is None or self._stopped_at_ns is None:
            return
        blackout = (time.monotonic_ns() - self._stopped_at_ns) // 1000
        self.plan.blackout_us = blackout
        for entry in self._adopted:
            entry.blackout_us = blackout

    def _report(self) -> dict[str, Any]:
        devices = {entry.device.path: entry.blackout_us for entry in self._adopted}
        return {"blackout-us": self.plan and self.plan.blackout_us, "devices": devices}


def _run_state(state: dict[str, Any]) -> str:
    """Return the source's run state. Raises WireError for one that no source is in."""
    name = state.get("runstate")
    if name not in _SOURCE_STATES:
        raise WireError(f"Received invalid runstate {name!r}")
    return str(name)
