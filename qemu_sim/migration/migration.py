"""Migration of one machine: at most one under way, in either direction.

QEMU: migration/migration.c

The two directions live in `Outgoing` and `Incoming`, objects that exist only while they
are under way. What is kept here outlives them: status, report, and what is held after a
hand-over whose other side was lost.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.io import address as addresses
from qemu_sim.migration import peer
from qemu_sim.migration.incoming import Destination, Incoming
from qemu_sim.migration.outgoing import Outgoing, Source
from qemu_sim.migration.progress import Progress
from qemu_sim.migration.status import Status
from qemu_sim.migration.stream import Stream
from qemu_sim.migration.take_over import SourceLostError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from qemu_sim.io.address import InetAddress, UnixAddress
    from qemu_sim.migration.transfer import Plan

_log = logging.getLogger(__name__)

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

    def migration_passed(self, count: int) -> None:
        """Tell that RAM was gone through for the `count`th time."""


class Migration:
    """Starts, cancels and describes migrations of `machine`."""

    def __init__(
        self,
        machine: Migratable,
        *,
        phase_timeout: float,
        check_peer: bool,
        statuses: Callable[[], frozenset[str]],
    ) -> None:
        """`phase_timeout` in seconds; `statuses` are those the profile's QEMU knows."""
        self._machine = machine
        self._phase_timeout = phase_timeout
        self._check_peer = check_peer
        self.status = Status(machine.migration_moved, statuses)
        self._task: asyncio.Task[None] | None = None
        self._continue = asyncio.Event()
        self._begun = False  # whether `_send` has run its first step
        self._outgoing: Outgoing | None = None
        self._incoming: Incoming | None = None
        self._progress = Progress()
        self._plan: Plan | None = None
        self._listening: list[dict[str, Any]] = []
        self._error: str | None = None

    def start(self, address: UnixAddress | InetAddress, plan: Plan | None) -> None:
        """Begin to migrate to `address`; the rest happens in the background.

        Raises QMPError in QEMU's words when the machine cannot migrate now.
        """
        if self.status.under_way:
            raise QMPError("There's a migration process in progress")
        self._reset(plan)
        self._begun = False
        self.status.move("setup")
        self._task = asyncio.get_running_loop().create_task(self._send(address))

    def cancel(self) -> None:
        """Cancel an outgoing migration. Nothing happens when there is none, or after commit."""
        if self._task is None or not self.is_sending:
            return
        ending = self.status.value in ("cancelling", "failing")
        if ending or (self._outgoing and self._outgoing.committed):
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

    def listen(self, address: UnixAddress | InetAddress, *, exit_on_error: bool) -> None:
        """Wait for a source at `address`. Raises QMPError in QEMU's words."""
        if self.status.under_way:
            raise QMPError("The incoming migration has already been started")
        if self._incoming is not None:
            raise QMPError("the machine of a lost source is held here: 'cont' takes it over")
        listener = addresses.listen(address)
        self._reset(None)
        self._listening = [addresses.bound_address(listener)]
        self.status.move("setup")
        self._task = asyncio.get_running_loop().create_task(
            self._receive(listener, address, exit_on_error)
        )

    @property
    def is_sending(self) -> bool:
        """Whether an outgoing migration is under way."""
        return self.status.under_way and not self._listening

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
            incoming.start()
            self._plan = incoming.plan
            return None
        if self._outgoing is not None:
            outgoing, self._outgoing = self._outgoing, None
            await outgoing.take_back()
            return "running"
        return None

    def query(self) -> dict[str, Any]:
        """Return the QAPI MigrationInfo."""
        status = self.status.value
        if status == "none":
            return {}
        info: dict[str, Any] = {"status": status}
        if self._listening and status in ("setup", "active"):
            info["socket-address"] = self._listening
        elif not self._listening:
            info |= self._progress.to_qapi(status, self._machine.memory.size, self._outgoing)
        if status == "failed" and self._error is not None:
            info["error-desc"] = self._error
        if self._plan is not None:
            info["backend-transfer"] = self._plan.to_qapi()
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
        self._progress = Progress()
        self._listening = []
        self._error = None

    async def _send(self, address: UnixAddress | InetAddress) -> None:
        """The one place where an outgoing migration ends."""
        reason = "cancelled"
        self._begun = True
        try:
            if self.status.value == "cancelling":
                raise asyncio.CancelledError  # noqa: TRY301  (as if it had come a step later)
            await self._send_all(address)
        except asyncio.CancelledError:
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
        await self._roll_back(reason)
        self.status.move("failed" if self.status.value == "failing" else "cancelled")

    async def _send_all(self, address: UnixAddress | InetAddress) -> None:
        await self._machine.hooks.reach("setup")
        sock = await peer.connect(address, check=self._check_peer)
        stream = Stream(sock, self._phase_timeout, self._machine.trace_migration)
        outgoing = self._outgoing = Outgoing(self._machine, stream, self._plan)
        await outgoing.begin()
        self._progress.activate()
        await self._enter("active")
        await outgoing.copy_ram()
        self._machine.migration_passed(outgoing.passes + 1)
        await outgoing.stop()
        self._progress.stop()
        await self._switch_over()
        await outgoing.send_devices()
        await outgoing.finish()
        outgoing.release()
        self._progress.finish(outgoing)
        self._outgoing = None
        outgoing.close()
        self._machine.finish_migration()
        self.status.move("completed")

    async def _switch_over(self) -> None:
        """Enter `device`, when the client says so if it wants to be asked."""
        if self._machine.capabilities.enabled("pause-before-switchover"):
            self._continue.clear()
            await self._enter("pre-switchover")
            await self._continue.wait()
        await self._enter("device")

    async def _enter(self, status: str) -> None:
        """Move to `status`, at which the migration may be held."""
        self.status.move(status)
        await self._machine.hooks.reach(status)

    async def _roll_back(self, reason: str) -> None:
        """Go on as the owner, unless commit was sent: then hold, stopped."""
        outgoing = self._outgoing
        if outgoing is None:
            return
        self._progress.finish(outgoing)
        if outgoing.committed:
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

    async def _receive(
        self, listener: socket.socket, address: UnixAddress | InetAddress, exit_on_error: bool
    ) -> None:
        """The one place where an incoming migration ends."""
        try:
            absolute = addresses.absolute(address)
            sock = await peer.accept(listener, absolute, check=self._check_peer)
            self.status.move("active")
            incoming = Incoming(
                self._machine, Stream(sock, self._phase_timeout, self._machine.trace_migration)
            )
            self._incoming = incoming
            await self._load(incoming)
        except asyncio.CancelledError:
            self._end_incoming("the machine is closed")
        except SourceLostError as error:
            assert self._incoming is not None
            self._error, self._plan = str(error), self._incoming.plan
            self._incoming.close()
            _log.error("%s", error)
            self.status.move("failed")
        except _EXPECTED as error:
            self._fail_incoming(str(error), exit_on_error)
        except Exception as error:  # noqa: BLE001  (whatever it is, the source must hear of it)
            self._fail_incoming(self._machine.bug(error), exit_on_error)

    async def _load(self, incoming: Incoming) -> None:
        await self._machine.hooks.reach("accepted")
        await incoming.load()
        await incoming.take_over()
        self._plan = incoming.plan
        self._incoming = None
        incoming.close()
        self.status.move("completed")

    def _fail_incoming(self, reason: str, exit_on_error: bool) -> None:
        self._error = reason
        self._end_incoming(reason)
        _log.error("load of migration failed: %s", reason)
        self.status.move("failed")
        if exit_on_error:
            self._machine.exit(1)

    def _end_incoming(self, reason: str) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self._plan = incoming.plan
            incoming.refuse(reason)
            incoming.give_up()
            incoming.close()
