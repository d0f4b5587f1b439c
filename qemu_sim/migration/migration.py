"""Migration of one machine: at most one under way, in either direction.

QEMU: migration/migration.c

The two directions live in `Outgoing` and `Incoming`, objects that exist only while they
are under way. What is kept here outlives them: status, report, and what is held after a
hand-over whose other side was lost.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from qemu_sim.clock import rest
from qemu_sim.errors import LoadError, MigrationError, QMPError, WireError
from qemu_sim.migration import address as addresses
from qemu_sim.migration.incoming import Destination, Incoming
from qemu_sim.migration.outgoing import Outgoing, Source
from qemu_sim.migration.postcopy_destination import PostcopyDestination
from qemu_sim.migration.postcopy_source import PostcopySource
from qemu_sim.migration.progress import Progress
from qemu_sim.migration.status import Status
from qemu_sim.migration.stream import Stream
from qemu_sim.migration.take_over import SourceLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qemu_sim.migration.transfer import Plan
    from qemu_sim.migration.transport import Access, Arrival, Opening, Transport

_log = logging.getLogger(__name__)

_DEVICE_ALWAYS_SINCE = (10, 0, 0)  # before, only after a pause for the client
_REASON_KEPT_SINCE = (11, 0, 0)  # a destination's error-desc says why; before, it is printed
_EXPECTED = (MigrationError, WireError, QMPError, OSError)


class Migratable(Source, Destination, Protocol):
    """What a migration needs of its machine, on either side."""

    def resume_after_failure(self, run_state: str) -> None:
        """Go back to `run_state` (RESUME when that is running)."""

    def finish_migration(self) -> None:
        """Become postmigrate: another process runs this machine."""

    def exit(self, status: int) -> None:
        """End the process with `status`."""

    def bug(self, error: Exception) -> str:
        """Record what nobody foresaw; returns a text for the other side."""

    def trace_migration(self, direction: str, what: dict[str, Any], fds: int) -> None:
        """Tell what passed on the channel, and how many descriptors came with it."""

    def migration_moved(self, status: str) -> None:
        """Tell that the status changed."""


class Migration:
    """Starts, cancels and describes migrations of `machine`."""

    def __init__(
        self,
        machine: Migratable,
        *,
        phase_timeout: float,
        statuses: Callable[[], frozenset[str]],
    ) -> None:
        """`phase_timeout` in seconds; `statuses` are those the profile's QEMU knows."""
        self._machine = machine
        self._phase_timeout = phase_timeout
        self.status = Status(machine.migration_moved, statuses)
        self._task: asyncio.Task[None] | None = None
        self._continue = asyncio.Event()
        self._begun = False  # whether `_send` has run its first step
        self._skips_device = False
        self._keeps_reason = True
        self._outgoing: Outgoing | None = None
        self._incoming: Incoming | None = None
        self._postcopy: PostcopySource | PostcopyDestination | None = None
        self._wants_postcopy = False
        self._progress = Progress(machine)
        self._plan: Plan | None = None
        self._arrival: Arrival | None = None
        self._version = (0, 0, 0)  # of the QEMU that waits for a source
        self.receives = False
        self._error: str | None = None
        self._skipped: dict[str, Any] | None = None

    def start(self, find: Callable[[], Transport], access: Access, plan: Plan | None) -> None:
        """Begin to migrate to what `find` returns; the rest happens in the background.

        Raises QMPError in QEMU's words when the machine cannot migrate now, or not there.
        """
        if self.status.under_way:
            raise QMPError("There's a migration process in progress")
        found = find() if access.version >= addresses.CHANNELS_SINCE else None
        self._reset(plan)
        self._begun = False
        self._skips_device = access.version < _DEVICE_ALWAYS_SINCE
        self.status.move("setup")
        try:
            opening = (found or find()).connect(access)
        except QMPError as error:
            raise self._failed_at_once(error) from None
        self._task = asyncio.get_running_loop().create_task(self._send(opening))
        self._machine.clock.follow(self._task)

    def cancel(self) -> None:
        """Cancel an outgoing migration. Nothing happens when there is none, or after commit.

        Raises QMPError in QEMU's words in postcopy: there is no way back.
        """
        if self._task is None or not self.is_sending:
            return
        if self.status.in_postcopy:
            raise QMPError("Postcopy migration in progress, cannot cancel.")
        ending = self.status.value in ("cancelling", "failing")
        if ending or (self._outgoing and not self._outgoing.can_still_be_kept()):
            return
        self.status.move("cancelling")
        if self._begun:  # else its first step sees it: cancelled before, it could not say so
            self._task.cancel()

    def continue_from(self, status: str) -> None:
        """Go on from `status`, in which the migration waits for the client.

        Raises QMPError in QEMU's words when it is in another.
        """
        if status != self.status.value:
            raise QMPError(f"Migration not in expected state: {self.status.value}")
        self._continue.set()

    def start_postcopy(self) -> None:
        """Let the destination start before it has all of RAM. Raises QMPError in QEMU's words."""
        if not self.is_sending:
            raise QMPError("Postcopy must be started after migration has been started")
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

    def pause(self) -> bool:
        """Give up the channel of a postcopy migration; False when there is none to give up."""
        if self._postcopy is None or self.status.value != "postcopy-active":
            return False
        self._postcopy.pause()
        return True

    def check_paused(self) -> PostcopySource:
        """Return what can be resumed. Raises QMPError in QEMU's words when there is nothing."""
        if self.status.value != "postcopy-paused" or not isinstance(self._postcopy, PostcopySource):
            raise QMPError("Cannot resume if there is no paused migration")
        return self._postcopy

    def resume(self, transport: Transport, access: Access) -> None:
        """Go on with a paused postcopy migration over a channel of `transport`.

        Raises QMPError in QEMU's words when there is none, or no channel.
        """
        self.check_paused().resume(partial(self._stream, transport.connect(access)))

    def recover(self, find: Callable[[], Transport], access: Access) -> None:
        """Go on with a paused incoming one, over what `find` returns and a source opens.

        Raises QMPError in QEMU's words when there is none.
        """
        postcopy = self._postcopy
        if not isinstance(postcopy, PostcopyDestination) or not postcopy.waits:
            raise QMPError("Migrate recover can only be run when postcopy is paused.")
        self._arrival = find().listen(access)
        postcopy.recover(partial(self._stream, self._arrival))

    def listen(self, transport: Transport, access: Access, *, exit_on_error: bool) -> None:
        """Wait for a source on `transport`. Raises QMPError in QEMU's words."""
        if self._incoming is not None:
            raise QMPError("the machine of a lost source is held here: 'cont' takes it over")
        self._reset(None)
        self.receives = True
        self._keeps_reason = access.version >= _REASON_KEPT_SINCE
        if access.version >= addresses.CHANNELS_SINCE:
            if self.status.value == "setup":  # where a failure below leaves it
                raise QMPError("Illegal migration incoming state: setup")
            self.status.move("setup")
        self._version = access.version
        self._arrival = transport.listen(access)
        self._task = asyncio.get_running_loop().create_task(
            self._receive(self._arrival, transport.NAME, exit_on_error)
        )

    @property
    def is_sending(self) -> bool:
        """Whether an outgoing migration is under way."""
        return self.status.under_way and not self.receives

    @property
    def is_awaited(self) -> bool:
        """Whether a source may come, or is there."""
        return self._task is not None and not self._task.done() and self.receives

    @property
    def plan(self) -> Plan | None:
        """The last hand-over's plan and report."""
        return self._plan

    async def reclaim(self) -> str | None:
        """`cont` by an operator who knows that the other side is gone.

        Makes this process the owner of what it holds. Returns the run state to go on in
        when the guest still has to be started here, None when there was nothing to do or
        it was started.
        """
        if self.status.under_way:
            return None
        if self._incoming is not None and self._incoming.holding:
            incoming, self._incoming = self._incoming, None
            incoming.start("cont")
            self._plan = incoming.plan
            return None
        if self._outgoing is not None and self._outgoing.end.knows("cont"):
            outgoing, self._outgoing = self._outgoing, None
            outgoing.end.step("cont")
            await outgoing.take_back()
            return "running"
        return None

    def query(self) -> dict[str, Any]:
        """Return the QAPI MigrationInfo."""
        status = self.status.value
        info: dict[str, Any] = {} if status == "none" else {"status": status}
        bound = self._arrival.bound if self._arrival is not None else ()
        if bound and status in ("none", "setup", "active"):
            info["socket-address"] = list(bound)
        if not self.receives:
            self._progress.poll()
            info |= self._progress.to_qapi(status)
        if status == "completed" and isinstance(self._postcopy, PostcopyDestination):
            info |= self._blocktime(self._postcopy)
        error = self._error
        if self._postcopy is not None and status.startswith("postcopy"):
            error = self._postcopy.error
        if status in ("failed", "postcopy-paused") and error is not None:
            info["error-desc"] = error
        if self._plan is not None:
            info["backend-transfer"] = self._plan.to_qapi()
        if self._skipped is not None:
            info["x-sim-skipped"] = self._skipped
        return info

    async def close(self) -> None:
        """End whatever is under way and give back what is held."""
        if self._task is not None and not self._task.done():
            await asyncio.sleep(0)  # cancelled before its first step, it would close nothing
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._incoming is not None:
            self._incoming.give_up()
        if self._outgoing is not None:
            self._outgoing.release()

    def _reset(self, plan: Plan | None) -> None:
        self._plan = plan
        self._postcopy = None
        self._wants_postcopy = False
        self._progress = Progress(self._machine)
        self._arrival = None
        self.receives = False
        self._error = None
        self._skipped = None

    def _blocktime(self, postcopy: PostcopyDestination) -> dict[str, Any]:
        if not self._machine.capabilities.enabled("postcopy-blocktime"):
            return {}
        return postcopy.blocktime(self._machine.cpu_count, self._version)

    def _failed_at_once(self, error: QMPError) -> QMPError:
        """Fail before anything is under way; returns what the client is told."""
        self.status.move("failing")
        if isinstance(error, addresses.UnknownProtocolError):
            error = QMPError("Parameter 'uri' expects a valid migration protocol")
        else:
            self._error = str(error)
        self.status.move("failed")
        return error

    async def _send(self, opening: Opening) -> None:
        """The one place where an outgoing migration ends."""
        reason = "cancelled"
        self._begun = True
        try:
            if self.status.value == "cancelling":
                raise asyncio.CancelledError  # noqa: TRY301  (as if it had come a step later)
            await self._send_all(opening)
        except asyncio.CancelledError:
            if self.status.in_postcopy and self._outgoing is not None:
                self._outgoing.close()  # the machine is closed: another process runs it
                return
            if self.status.value != "cancelling":  # the machine is closed
                self.status.move("cancelling")
        except _EXPECTED as error:
            reason = self._error = str(error)
            self.status.move("failing")
        except Exception as error:  # noqa: BLE001  (whatever it is, the guest must go on)
            reason = self._error = self._machine.bug(error)
            self.status.move("failing")
        else:
            return
        await self._machine.hooks.reach(self.status.value)
        opening.close()
        await self._roll_back(reason)
        self.status.move("failed" if self.status.value == "failing" else "cancelled")

    async def _send_all(self, opening: Opening) -> None:
        await self._machine.hooks.reach("setup")
        stream = await self._stream(opening)
        outgoing = self._outgoing = Outgoing(self._machine, stream, self._plan)
        if self._wants_postcopy:
            outgoing.start_postcopy()
        await outgoing.begin()
        if self._machine.request_unplug():
            await self._enter("wait-unplug")
            await rest(self._machine.clock, self._machine.unplug())
        self._progress.activate(outgoing)
        await self._enter("active")
        await outgoing.copy_ram()
        if outgoing.wants_postcopy:
            stop = partial(self._stop, outgoing)
            self._postcopy = PostcopySource(outgoing, self.status, self._enter, stop)
            await self._postcopy.run()
        else:
            await self._switch_over(outgoing)
        outgoing.release()
        self._progress.finish()
        self._outgoing = None
        outgoing.close()
        self._machine.finish_migration()
        self.status.move("completed")

    async def _switch_over(self, outgoing: Outgoing) -> None:
        """Stop the guest and send the rest, when the client says so if it wants to be asked."""
        await self._stop(outgoing)
        if self._machine.capabilities.enabled("pause-before-switchover"):
            self._continue.clear()
            await self._enter("pre-switchover")
            await rest(self._machine.clock, self._continue.wait())
        if self._skips_device and self.status.value == "active":
            await self._machine.hooks.reach("device")
        else:
            await self._enter("device")
        await outgoing.send_devices()
        await outgoing.finish()

    async def _stop(self, outgoing: Outgoing) -> None:
        await outgoing.stop()
        self._progress.stop()

    async def _enter(self, status: str) -> None:
        """Move to `status`, at which the migration may be held."""
        self.status.move(status)
        await self._machine.hooks.reach(status)

    async def _roll_back(self, reason: str) -> None:
        """Go on as the owner, unless the destination may be it: then hold, stopped."""
        outgoing = self._outgoing
        if outgoing is None:
            return
        self._progress.finish()
        if outgoing.end.fail() != "kept":
            outgoing.close()
            self._machine.finish_migration()
            _log.warning("the destination was lost after commit: %s", reason)
            self._error = (
                f"{reason}; commit was sent, so the destination may own the machine: "
                "it is held here, stopped, and 'cont' takes it back"
            )
            return
        self._outgoing = None
        outgoing.abort(reason)
        outgoing.close()
        await outgoing.take_back()
        if outgoing.stopped:
            self._machine.resume_after_failure(outgoing.state_name)

    async def _receive(self, arrival: Arrival, kind: str, exit_on_error: bool) -> None:
        """The one place where an incoming migration ends."""
        try:
            stream = await self._stream(arrival)
            self.status.move("active")
            stream.name = f"migration-{kind}-incoming"
            incoming = self._incoming = Incoming(self._machine, stream, self._enter)
            await self._load(incoming)
        except asyncio.CancelledError:
            arrival.close()
            self._end_incoming("the machine is closed")
        except SourceLostError as error:
            assert self._incoming is not None
            self._error, self._plan = str(error), self._incoming.plan
            self._incoming.close()
            _log.error("%s", error)
            self.status.move("failed")
        except _EXPECTED as error:
            self._fail_incoming(error, exit_on_error)
        except Exception as error:  # noqa: BLE001  (whatever it is, the source must hear of it)
            self._fail_incoming(MigrationError(self._machine.bug(error)), exit_on_error)

    async def _load(self, incoming: Incoming) -> None:
        await self._machine.hooks.reach("accepted")
        self._postcopy = PostcopyDestination(incoming, self.status, self._enter)
        await self._postcopy.run()
        await incoming.take_over()
        self._plan, self._skipped = incoming.plan, incoming.skipped.to_qapi()
        self._incoming = None
        incoming.close()
        self.status.move("completed")

    async def _stream(self, source: Opening | Arrival) -> Stream:
        channel = await source.channel()
        return Stream(channel, self._phase_timeout, self._machine.trace_migration)

    def _fail_incoming(self, error: Exception, exit_on_error: bool) -> None:
        printed, self._error = self._told(error)
        self._end_incoming(str(error))
        for line in printed:
            _log.error("%s", line)
        self.status.move("failed")
        if exit_on_error:
            _log.error("%s", self._error)
            self._machine.exit(1)

    def _told(self, error: Exception) -> tuple[list[str], str]:
        """What is printed of a load that failed, and what clients are told."""
        incoming = self._incoming
        if incoming is None or incoming.plan is not None:
            return [], str(error)
        if not isinstance(error, LoadError):
            number = errno.EIO if incoming.cut_off else errno.EINVAL
            error = LoadError(str(error), number=number)
        return error.told(keeps_reason=self._keeps_reason)

    def _end_incoming(self, reason: str) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self._plan = incoming.plan
            incoming.fail(reason)
            incoming.close()
