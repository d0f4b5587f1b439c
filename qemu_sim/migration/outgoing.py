"""The source of one migration, from the first byte to the last.

QEMU: migration/migration.c (migration_thread), migration/savevm.c

An object that exists only while one migration is under way. Until `committed` any error
rolls back: the machine goes on as if nothing had been. From then on it stays stopped.
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
from qemu_sim.migration.vmstate import BACKEND_SUFFIX, GLOBAL_STATE, Sections
from qemu_sim.wire import vmstream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.transfer import Entry, Plan, Transferable

_log = logging.getLogger(__name__)


class Source(Side, Protocol):
    """What the source of a migration needs of its machine."""

    @property
    def state_name(self) -> str:
        """The run state, as the destination is to continue in."""

    def stop_for_migration(self) -> None:
        """Halt the guest; the run state becomes finish-migrate."""


class Outgoing:
    """Writes one machine to a stream; `plan` is None for a migration without hand-over."""

    def __init__(self, machine: Source, stream: Stream, plan: Plan | None) -> None:
        self._machine = machine
        self._stream = stream
        self.plan = plan
        self.committed = False
        self.stopped = False
        self.state_name = ""
        self.ram_done = 0
        self.passes = 1
        self.stopped_at_ns: int | None = None
        self._moving: list[Entry] = []
        self._quiet: list[Entry] = []
        self._drained: list[Transferable] = []
        self._ram_travels = False
        self._ram_id = 0
        self._sections = Sections(stream)

    @property
    def sent_bytes(self) -> int:
        """Bytes written to the channel so far."""
        return self._stream.sent_bytes

    async def begin(self) -> None:
        """Send the header and agree on the hand-over; the machine runs on."""
        machine = self._machine
        await machine.hooks.reach("connected")
        self._stream.write(vmstream.HEADER + vmstream.configuration(machine.machine_type))
        await self._negotiate()

    async def copy_ram(self) -> None:
        """Send guest RAM while the machine runs."""
        memory = self._machine.memory
        self._stream.phase = "the destination to take guest RAM"
        self._ram_id = self._sections.start_ram(ram.setup(memory))
        if not self._ram_travels:
            await self._send_pages(vmstream.PART, memory.extents())
        await self._stream.flush()

    async def stop(self) -> None:
        """Stop the machine; finish what stays behind, keep quiet what travels."""
        machine = self._machine
        await machine.hooks.reach("before-stop")
        self.state_name = machine.state_name
        runs, now = self.state_name == "running", time.monotonic_ns()
        machine.stop_for_migration()
        self.stopped = True
        if runs:
            self.stopped_at_ns = now
            await self._drain()
        for entry in self._moving:
            assert entry.device.backend is not None
            entry.device.backend.quiesce()
            self._quiet.append(entry)
        await machine.hooks.reach("stopped")

    async def send_devices(self) -> None:
        """Send the rest of RAM, device state, and the descriptors that travel."""
        machine, sections = self._machine, self._sections
        self.passes += 1
        if self._ram_travels:
            self._end_ram()
        else:  # the guest uses nothing that it did not allocate
            await self._send_pages(vmstream.END, machine.memory.allocated())
        sections.write_state(GLOBAL_STATE, {"runstate": self.state_name})
        for device in machine.devices:
            sections.write_state(device.path, device.save())
        self._send_backends()
        sections.close()
        await self._stream.flush()
        self._stream.eager = bool(self._moving)
        if self._moving:
            await machine.hooks.reach("descriptors-sent")

    async def commit(self) -> None:
        """Give the backends away, once the destination is ready. No way back behind it."""
        hooks = self._machine.hooks
        await self._expect(vmstream.REPLY_READY, "the destination to be ready")
        await hooks.reach("ready-received")
        if self._stream.ended:
            word = self._stream.last_word()
            raise word or MigrationError("the destination left before commit")
        # Nothing is queued, so this either reaches the destination's socket or raises.
        self.committed = True
        self._stream.eager = False
        self._stream.command(vmstream.COMMAND_COMMIT, self._commit_body())
        await self._stream.flush()
        await hooks.reach("commit-sent")
        started = await self._expect(vmstream.REPLY_STARTED, "the destination to start")
        await hooks.reach("started-received")
        if self.plan is not None:
            self._report(self.plan, started)

    def release(self) -> None:
        """Close the copies of what was handed over: the destination owns it."""
        for entry in self._moving:
            assert entry.device.backend is not None
            entry.device.backend.release()
        self._moving.clear()
        self._quiet.clear()

    async def take_back(self) -> None:
        """Make every backend usable again: nothing was given away.

        One whose server fails stays silent; the others and the guest go on.
        """
        for entry in self._quiet:
            assert entry.device.backend is not None
            entry.device.backend.unquiesce()
        self._quiet.clear()
        while self._drained:
            try:
                await self._drained.pop().restart()
            except QMPError as error:
                _log.error("%s", error)

    def abort(self, reason: str) -> None:
        """Tell a destination that waits for commit that it will not come."""
        if not self._stream.ended:
            self._stream.command(vmstream.COMMAND_ABORT, {"reason": reason})

    def close(self) -> None:
        """End the connection."""
        self._stream.close()

    async def _drain(self) -> None:
        moving = {entry.device.path for entry in self._moving}
        for device in self._machine.devices:
            if device.path not in moving:
                self._drained.append(device)
                await device.drain()

    async def _negotiate(self) -> None:
        hooks, stream = self._machine.hooks, self._stream
        moving = [] if self.plan is None else self.plan.transferred()
        if self.plan is None:
            stream.command(vmstream.COMMAND_OFFER, offers.NOTHING)
        else:
            self._send_offer(self.plan)
        await stream.flush()
        await hooks.reach("offer-sent")
        self._apply(moving, await self._expect(vmstream.REPLY_ANSWER, "the answer to the offer"))
        self._moving = [] if self.plan is None else self.plan.transferred()
        await hooks.reach("answer-received")

    def _send_offer(self, plan: Plan) -> None:
        if not self._stream.carries_fds:
            raise MigrationError("backend-transfer requires a UNIX domain socket channel")
        memory = self._machine.memory
        with offers.handshake() as nonce:
            self._stream.command(vmstream.COMMAND_OFFER, offers.make(plan, memory, nonce))
            self._stream.write_fd(nonce)
        self._ram_travels = memory.shared
        if memory.shared:
            self._stream.write_fd(memory.fd)

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

    def _apply(self, entries: list[Entry], answer: dict[str, Any]) -> None:
        reasons = answer.get("reopened")
        if not isinstance(reasons, dict):
            raise MigrationError("malformed answer to the offer")
        for entry in entries:
            reason = reasons.get(entry.device.path)
            if isinstance(reason, str):
                entry.reopen(reason)

    async def _expect(self, code: int, what: str) -> dict[str, Any]:
        self._stream.phase = what
        message = await self._stream.read_message()
        if message.code == vmstream.REPLY_REFUSED:
            self._note_refusal(message.body)
            raise said(message)
        if message.code != code:
            raise WireError(f"message 0x{message.code:x} where {what} was expected")
        return message.body

    def _note_refusal(self, body: dict[str, Any]) -> None:
        for entry in self.plan.entries if self.plan else ():
            if entry.device.path == body.get("device"):
                entry.refuse(str(body.get("detail")))

    async def _send_pages(self, kind: int, extents: Iterable[tuple[int, int]]) -> None:
        self._stream.write(vmstream.section_part(kind, self._ram_id))
        for piece in ram.pages(self._machine.memory, extents):
            self._stream.write(piece)
            self.ram_done += len(piece)
            await self._stream.flush_some()
        self._stream.write(ram.END_OF_PART + vmstream.footer(self._ram_id))

    def _end_ram(self) -> None:
        head = vmstream.section_part(vmstream.END, self._ram_id)
        self._stream.write(head + ram.END_OF_PART + vmstream.footer(self._ram_id))

    def _commit_body(self) -> dict[str, Any]:
        return {"stopped-at-ns": self.stopped_at_ns}

    def _report(self, plan: Plan, started: dict[str, Any]) -> None:
        """Take the blackouts, in microseconds, from the destination that measured them."""
        plan.blackout_us = _number(started.get("blackout-us"))
        blackouts = started.get("devices")
        for entry in self._moving:
            entry.outcome = "transferred"
            if isinstance(blackouts, dict):
                entry.blackout_us = _number(blackouts.get(entry.device.path))


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None
