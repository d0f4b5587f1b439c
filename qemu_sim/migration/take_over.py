"""The destination's side of the dialogue of a hand-over; `transfer.py` has the whole rule.

What is not taken is opened before the answer, while the source still runs, so that a
missing server or a busy TAP fails the migration with the source untouched.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError, WireError
from qemu_sim.migration import offer as offers
from qemu_sim.migration.ownership import HAND_OVER, End
from qemu_sim.migration.stream import said
from qemu_sim.migration.transfer import Entry, Plan
from qemu_sim.migration.vmstate import read_backend
from qemu_sim.wire import vmmessage, vmstream

if TYPE_CHECKING:
    from qemu_sim.migration.side import DestinationMachine
    from qemu_sim.migration.stream import Stream
    from qemu_sim.migration.transfer import Transferable

_log = logging.getLogger(__name__)


class SourceLostError(MigrationError):
    """The source vanished between `ready` and commit: what arrived is held, stopped."""


class TakeOver:
    """What a destination hears and answers when backends may travel to it."""

    def __init__(
        self, machine: DestinationMachine, stream: Stream, devices: Mapping[str, Transferable]
    ) -> None:
        """`devices` are ours by QOM path."""
        self._machine = machine
        self._stream = stream
        self._by_path = devices
        self._adopted: list[Entry] = []
        self.plan = Plan()
        self.end = End(HAND_OVER.destination)

    async def answer(
        self, offer: dict[str, Any], open_others: Callable[[set[str]], Awaitable[None]]
    ) -> None:
        """Judge the offer; `open_others` opens all devices but those of the given paths."""
        hooks = self._machine.hooks
        self.end.hear("offer")
        await hooks.reach("offer-received")
        offers.check(offer)
        await self._judge(offer)
        await open_others({entry.device.path for entry in self.plan.transferred()})
        reopened = {entry.device.path: entry.reason for entry in self.plan.entries if entry.outcome}
        self.end.step("!answer")
        self._stream.reply(vmmessage.REPLY_ANSWER, {"reopened": reopened})
        # With no RAM to copy the source stops its guest at once.
        self._stream.eager = self._machine.memory.shared
        await self._stream.flush()
        await hooks.reach("answer-sent")

    async def adopt(self, device: Transferable) -> None:
        """Read the descriptors of `device` and check them."""
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

    async def await_commit(self) -> int | None:
        """Say that everything is checked, and wait for commit.

        Returns when the source stopped its guest (ns of the monotonic clock), if it ran.
        """
        hooks = self._machine.hooks
        for entry in self.plan.transferred():
            if entry not in self._adopted:
                raise MigrationError(entry.refuse("it did not arrive"))
        self._stream.check_all_claimed()
        self.end.hear("state")
        await hooks.reach("descriptors-received")
        self._stream.phase = "commit"
        await self._say_ready()
        await hooks.reach("ready-sent")
        message = await self._commit_message()
        self.end.hear("commit")
        await hooks.reach("commit-received")
        return vmmessage.time_in(message.body, "stopped-at-ns")

    def activate(self) -> None:
        """Own what was adopted."""
        for entry in self._adopted:
            assert entry.device.backend is not None
            entry.device.backend.activate()
            entry.outcome = "transferred"

    def measured(self, blackout_us: int) -> None:
        """Enter into the report how long nobody served."""
        self.plan.blackout_us = blackout_us
        for entry in self._adopted:
            entry.blackout_us = blackout_us

    async def confirm(self) -> None:
        """Tell the source that it may let go. This machine runs whether or not it hears."""
        devices = {entry.device.path: entry.blackout_us for entry in self._adopted}
        report = {"blackout-us": self.plan.blackout_us, "devices": devices}
        try:
            await self._machine.hooks.reach("started")
            self.end.step("!started")
            self._stream.reply(vmmessage.REPLY_STARTED, report)
            await self._stream.flush()
        except MigrationError as error:
            _log.warning("the source did not hear that the machine started: %s", error)

    def refuse(self, reason: str) -> None:
        """Tell the source why, if the channel still carries words."""
        if self._stream.ended:
            return
        entries = self.plan.entries
        refused = next((entry for entry in entries if entry.outcome == "refused"), None)
        body: dict[str, Any] = {"reason": reason}
        if refused is not None:
            body |= {"device": refused.device.path, "detail": refused.reason}
        self._stream.reply(vmmessage.REPLY_REFUSED, body)

    def give_up(self) -> None:
        """Close what was adopted: the source owns it still."""
        while self._adopted:
            entry = self._adopted.pop()
            assert entry.device.backend is not None
            entry.device.backend.disown()

    async def _judge(self, offer: dict[str, Any]) -> None:
        machine, stream, memory = self._machine, self._stream, self._machine.memory
        with await stream.read_fd("the handshake descriptor") as nonce:
            offers.check_handshake(offer, nonce)
        offers.judge(offer, self._by_path, self.plan, default_on=machine.transfer_by_default)
        offers.check_ram(offer, memory)
        if memory.shared:
            memory.adopt(await stream.read_fd("guest RAM"))

    def _entry(self, device: Transferable) -> Entry:
        for entry in self.plan.transferred():
            if entry.device is device and entry not in self._adopted:
                return entry
        raise WireError(f"Device '{device.name}' was not agreed to be transferred")

    async def _say_ready(self) -> None:
        self.end.step("!ready")
        self._stream.reply(vmmessage.REPLY_READY, {})
        await self._stream.flush_words()

    async def _commit_message(self) -> vmmessage.Message:
        try:
            kind = await vmstream.read_byte(self._stream)
            message = await self._stream.read_command()
        except MigrationError as error:
            if self._stream.ended:
                raise self._lost() from None
            raise MigrationError(f"{error}; what was received is closed") from None
        if kind == vmstream.COMMAND and message.code == vmmessage.COMMAND_ABORT:
            raise said(message)
        if kind != vmstream.COMMAND or message.code != vmmessage.COMMAND_COMMIT:
            raise WireError(f"message 0x{message.code:x} where commit was expected")
        return message

    def _lost(self) -> SourceLostError:
        """A source that goes on says so before it leaves; this one did not."""
        self.end.step("lost")
        return SourceLostError(
            "the source was lost before commit; the machine is held here, stopped: "
            "'cont' takes it over if the source is really gone"
        )
