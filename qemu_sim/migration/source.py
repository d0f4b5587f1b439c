"""The source of one migration: when it may go back, and how it ends.

QEMU: migration/migration.c (migration_thread, migration_cancel, migrate_fd_cleanup)

`Outgoing` is there only while a machine is under way. After a hand-over whose other side
was lost it stays, and holds what may be the destination's, until `cont` takes it back.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from qemu_sim.clock import rest
from qemu_sim.errors import MigrationError, QMPError
from qemu_sim.migration import cpr, multifd
from qemu_sim.migration.address import UnknownProtocolError
from qemu_sim.migration.attempt import EXPECTED, Attempt
from qemu_sim.migration.outgoing import LIVE, Outgoing
from qemu_sim.migration.postcopy_source import PostcopySource
from qemu_sim.migration.progress import Progress
from qemu_sim.migration.stream import PeerFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qemu_sim.migration.side import Migratable
    from qemu_sim.migration.status import Status
    from qemu_sim.migration.transfer import Plan
    from qemu_sim.migration.transport import Opening

_log = logging.getLogger(__name__)

_DEVICE_ALWAYS_SINCE = (10, 0, 0)  # before, only after a pause for the client


class MigrationSource(Attempt):
    """Migrates `machine` away, with the backends of `plan` if there is one."""

    def __init__(
        self, machine: Migratable, status: Status, phase_timeout: float, plan: Plan | None
    ) -> None:
        """`phase_timeout` in seconds."""
        super().__init__(machine, status, phase_timeout)
        self.plan = plan
        self._mode = machine.migration_mode  # a client may set the next one's meanwhile
        self._progress = Progress(machine)
        self._continue = asyncio.Event()
        self._begun = False  # whether `_send` has run its first step
        self._skips_device = machine.version < _DEVICE_ALWAYS_SINCE
        self._outgoing: Outgoing | None = None
        self._postcopy: PostcopySource | None = None
        self._wants_postcopy = False

    def start(self, connect: Callable[[], Opening]) -> None:
        """Begin to migrate to what `connect` opens; the rest happens in the background.

        Raises QMPError in QEMU's words when there is nothing to open.
        """
        self._status.move("setup")
        self._connect = connect
        try:
            opening = connect()
        except QMPError as error:
            raise self._failed_at_once(error) from None
        self._machine.clock.follow(self._begin(self._send(opening)))

    def cancel(self) -> None:
        """Go back if that is still possible. Raises QMPError in QEMU's words in postcopy."""
        if self._status.in_postcopy:
            raise QMPError("Postcopy migration in progress, cannot cancel.")
        ending = self._status.value in ("cancelling", "failing")
        if ending or (self._outgoing and not self._outgoing.can_still_be_kept()):
            return
        self._status.move("cancelling")
        if self._begun:  # else its first step sees it: cancelled before, it could not say so
            assert self._task is not None
            self._task.cancel()

    def go_on(self) -> None:
        """Do what the client was to be asked about."""
        self._continue.set()

    def start_postcopy(self) -> None:
        """Let the destination start before it has all of RAM."""
        self._wants_postcopy = True
        if self._outgoing is not None:
            self._outgoing.start_postcopy()

    def change(self) -> None:
        """A client has set something, or the guest has started or stopped."""
        self._progress.change()

    @property
    def throttle(self) -> int:
        """How much of its time auto-converge takes from the guest, in percent."""
        return self._progress.throttle

    @property
    def postcopy(self) -> PostcopySource | None:
        """What follows the switchover to postcopy, if it came to that."""
        return self._postcopy

    def resume(self, opening: Opening) -> None:
        """Go on with a paused postcopy migration over the channel that `opening` gives."""
        assert self._postcopy is not None
        self._postcopy.resume(partial(self._stream, opening))

    async def reclaim(self) -> bool:
        """Take back what is held; returns whether anything was, so that it may go on here."""
        outgoing = self._outgoing
        if outgoing is None or not outgoing.end.knows("cont"):
            return False
        self._outgoing = None
        outgoing.end.step("cont")
        await outgoing.take_back()
        return True

    def to_qapi(self, status: str) -> dict[str, Any]:
        """Return the members of MigrationInfo that only a source has."""
        self._progress.poll()
        return self._progress.to_qapi(status)

    async def close(self) -> None:
        """End whatever is under way and give back what is held."""
        await super().close()
        if self._outgoing is not None:
            self._outgoing.release()

    def _failed_at_once(self, error: QMPError) -> QMPError:
        """Fail before anything is under way; returns what the client is told."""
        self._status.move("failing")
        if isinstance(error, UnknownProtocolError):
            error = QMPError("Parameter 'uri' expects a valid migration protocol")
        else:
            self.error = str(error)
        self._status.move("failed")
        return error

    async def _send(self, opening: Opening) -> None:
        """The one place where an outgoing migration ends."""
        cause: Exception | None = None
        self._begun = True
        try:
            if self._status.value == "cancelling":
                raise asyncio.CancelledError  # noqa: TRY301  (as if it had come a step later)
            await self._send_all(opening)
        except asyncio.CancelledError:
            if self._status.in_postcopy and self._outgoing is not None:
                self._outgoing.close()  # the machine is closed: another process runs it
                return
            if self._status.value != "cancelling":  # the machine is closed
                self._status.move("cancelling")
        except EXPECTED as error:
            cause, self.error = error, str(error)
            self._status.move("failing")
        except Exception as error:  # noqa: BLE001  (whatever it is, the guest must go on)
            cause, self.error = error, self._machine.bug(error)
            self._status.move("failing")
        else:
            return
        await self._go_back(opening, cause)

    async def _go_back(self, opening: Opening, cause: Exception | None) -> None:
        try:
            await self._machine.hooks.reach(self._status.value)
        finally:  # the machine may be closed while it is held there
            opening.close()
            try:
                await self._roll_back(cause)
            except Exception as error:  # noqa: BLE001  (whatever it is, it must end)
                self.error = self._machine.bug(error)
            self._status.move("failed" if self._status.value == "failing" else "cancelled")

    async def _send_all(self, opening: Opening) -> None:
        await self._machine.hooks.reach("setup")
        stream = await self._stream(opening)
        outgoing = self._outgoing = Outgoing(self._machine, stream, self.plan, self._mode)
        more = multifd.channels(self._machine)
        if more:
            multifd.check(stream)
        for _ in range(more):
            await outgoing.add_channel(await self._stream(self._connect()))
        if self._wants_postcopy:
            outgoing.start_postcopy()
        if cpr.is_cpr(self._mode):
            await self._stop(outgoing)
        await outgoing.begin()
        if self._machine.request_unplug():
            await self._enter("wait-unplug")
            await rest(self._machine.clock, self._machine.unplug())
        self._progress.activate(outgoing)
        await self._enter("active")
        await outgoing.copy_ram()
        if outgoing.wants_postcopy:
            stop = partial(self._stop, outgoing)
            self._postcopy = PostcopySource(outgoing, self._status, self._enter, stop)
            await self._postcopy.run()
        else:
            await self._switch_over(outgoing)
        outgoing.release()
        self._progress.finish()
        self._outgoing = None
        outgoing.close()
        self._machine.finish_migration()
        self._status.move("completed")
        if self._mode == cpr.EXEC:
            await self._run_next(outgoing.state_name)

    async def _run_next(self, run_state: str) -> None:
        """Become the next program. If there is none, the guest, if it ran, goes on here."""
        try:
            await self._machine.run_next(self._machine.parameters[cpr.EXEC_COMMAND])
        except MigrationError as error:
            self.error = str(error)
            _log.error("%s", error)
            self._status.move("failed")
            if run_state in LIVE:
                await self._machine.cont()

    async def _switch_over(self, outgoing: Outgoing) -> None:
        """Stop the guest and send the rest, when the client says so if it wants to be asked."""
        if not outgoing.stopped:
            await self._stop(outgoing)
        if self._machine.capabilities.enabled("pause-before-switchover"):
            self._continue.clear()
            await self._enter("pre-switchover")
            await rest(self._machine.clock, self._continue.wait())
        if self._skips_device and self._status.value == "active":
            await self._machine.hooks.reach("device")
        else:
            await self._enter("device")
        await outgoing.send_devices()
        await outgoing.finish()

    async def _stop(self, outgoing: Outgoing) -> None:
        await outgoing.stop()
        self._progress.stop()

    async def _roll_back(self, cause: Exception | None) -> None:
        """Go on as the owner, unless the destination may be it: then hold, stopped."""
        outgoing = self._outgoing
        if outgoing is None:
            return
        reason = self.error or "cancelled"
        self._progress.finish()
        if outgoing.end.fail() != "kept":
            self._hold(outgoing, reason, refused=isinstance(cause, PeerFailedError))
            return
        self._outgoing = None
        outgoing.abort(reason)
        outgoing.close()
        await outgoing.take_back()
        if outgoing.stopped:
            self._machine.resume_after_failure(outgoing.state_name)

    def _hold(self, outgoing: Outgoing, reason: str, *, refused: bool) -> None:
        """Keep everything, stopped; `refused`: the destination has said that it failed."""
        outgoing.close()
        self._machine.finish_migration()
        given = "everything" if outgoing.plan is None else "commit"
        there = "but the destination says it failed" if refused else "so the destination may own it"
        self.error = (
            f"{reason}; {given} was sent, {there}: "
            "the machine is held here, stopped, and 'cont' takes it back"
        )
        _log.warning("%s", self.error)
