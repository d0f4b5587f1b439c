"""The source's side of the dialogue of a hand-over: offer, answer, ready, commit, started.

`transfer.py` has the whole rule. Each message is a QEMU command or a message of the
return path, so that the stream around it stays QEMU's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError, WireError
from qemu_sim.migration import offer as offers
from qemu_sim.migration.ownership import HAND_OVER, End
from qemu_sim.migration.stream import said
from qemu_sim.wire import vmmessage

if TYPE_CHECKING:
    from qemu_sim.migration.side import Side
    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.transfer import Entry, Plan


class HandOver:
    """What a source says, and hears, when backends travel as `plan` wants."""

    def __init__(self, machine: Side, stream: Stream, plan: Plan) -> None:
        self._machine = machine
        self._stream = stream
        self._plan = plan
        self.end = End(HAND_OVER.source)
        self.ram_travels = False

    async def open(self) -> None:
        """Offer, and take the answer: what the destination cannot take is reopened."""
        hooks, moving = self._machine.hooks, self._plan.transferred()
        self._offer()
        try:
            await self._stream.flush()
        except MigrationError:
            if self._stream.was_refused:
                raise _failed("the answer to the offer") from None
            raise
        await hooks.reach("offer-sent")
        answer = await self._expect(vmmessage.REPLY_ANSWER, "the answer to the offer")
        self.end.hear("answer")
        self._apply(moving, answer)
        await hooks.reach("answer-received")

    async def before_stop(self) -> None:
        """Nothing: the destination has answered."""

    def end_state(self) -> None:
        """Give nothing away yet: that is what commit is for."""
        self.end.step("!state")

    async def finish(self, stopped_at_ns: int | None) -> None:
        """Give the backends away, once the destination is ready. No way back behind commit."""
        hooks, stream = self._machine.hooks, self._stream
        await stream.flush()
        stream.eager = bool(self._plan.transferred())
        if stream.eager:
            await hooks.reach("descriptors-sent")
        await self._expect(vmmessage.REPLY_READY, "the destination to be ready")
        self.end.hear("ready")
        await hooks.reach("ready-received")
        if stream.ended:
            word = stream.last_word()
            raise word or MigrationError("the destination left before commit")
        # Nothing is queued, so this either reaches the destination's socket or raises.
        self.end.step("!commit")
        stream.eager = False
        stream.command(vmmessage.COMMAND_COMMIT, {"stopped-at-ns": stopped_at_ns})
        await stream.flush()
        await hooks.reach("commit-sent")
        started = await self._expect(vmmessage.REPLY_STARTED, "the destination to start")
        self.end.hear("started")
        await hooks.reach("started-received")
        self._report(started)

    def abort(self, reason: str) -> None:
        """Tell a destination that waits for commit that it will not come.

        One that has not seen a header yet would take the words for one.
        """
        if self._stream.sent_bytes and not self._stream.ended:
            self._stream.command(vmmessage.COMMAND_ABORT, {"reason": reason})

    def _offer(self) -> None:
        stream, memory = self._stream, self._machine.memory
        if not stream.carries_fds:
            raise MigrationError("backend-transfer requires a UNIX domain socket channel")
        self.end.step("!offer")
        with offers.handshake() as nonce:
            stream.command(vmmessage.COMMAND_OFFER, offers.make(self._plan, memory, nonce))
            stream.write_fd(nonce)
        self.ram_travels = memory.shared
        if memory.shared:
            stream.write_fd(memory.fd)

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
        message = await self._stream.read_reply()
        if message.code == vmmessage.REPLY_REFUSED:
            self._note_refusal(message.body)
            raise said(message)
        if message.code == vmmessage.RETURN_SHUT:  # it was not even asked yet
            raise _failed(what)
        if message.code != code:
            raise WireError(f"message 0x{message.code:x} where {what} was expected")
        return message.body

    def _note_refusal(self, body: dict[str, Any]) -> None:
        for entry in self._plan.entries:
            if entry.device.path == body.get("device"):
                entry.refuse(str(body.get("detail")))

    def _report(self, started: dict[str, Any]) -> None:
        """Take the blackouts, in microseconds, from the destination that measured them."""
        self._plan.ram_shared = self.ram_travels
        self._plan.blackout_us = vmmessage.time_in(started, "blackout-us")
        blackouts = started.get("devices")
        for entry in self._plan.transferred():
            entry.outcome = "transferred"
            if isinstance(blackouts, dict):
                entry.blackout_us = vmmessage.time_in(blackouts, entry.device.path)


def _failed(what: str) -> MigrationError:
    return MigrationError(f"the destination failed where {what} was expected")
