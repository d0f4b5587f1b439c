"""Migration of one machine: at most one under way, in either direction.

QEMU: migration/migration.c

Each attempt is an object of its own, `MigrationSource` or `MigrationDestination`. The last
one stays, as clients ask what became of it, and as it may hold what is left of a hand-over
whose other side was lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.migration.address import CHANNELS_SINCE
from qemu_sim.migration.destination import MigrationDestination
from qemu_sim.migration.source import MigrationSource
from qemu_sim.migration.status import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from qemu_sim.migration.side import Migratable
    from qemu_sim.migration.transfer import Plan
    from qemu_sim.migration.transport import Access, Transport


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
        self._last: MigrationSource | MigrationDestination | None = None

    def start(self, find: Callable[[], Transport], access: Access, plan: Plan | None) -> None:
        """Begin to migrate to what `find` returns; the rest happens in the background.

        Raises QMPError in QEMU's words when the machine cannot migrate now, or not there.
        """
        if self.status.under_way:
            raise QMPError("There's a migration process in progress")
        found = find() if access.version >= CHANNELS_SINCE else None
        source = MigrationSource(self._machine, self.status, self._phase_timeout, plan)
        self._last = source
        source.start(lambda: (found or find()).connect(access))

    def listen(self, transport: Transport, access: Access, *, exit_on_error: bool) -> None:
        """Wait for a source on `transport`. Raises QMPError in QEMU's words."""
        if isinstance(self._last, MigrationDestination) and self._last.holding:
            raise QMPError("the machine of a lost source is held here: 'cont' takes it over")
        destination = MigrationDestination(self._machine, self.status, self._phase_timeout)
        self._last = destination
        if access.version >= CHANNELS_SINCE:
            if self.status.value == "setup":  # where a failure below leaves it
                raise QMPError("Illegal migration incoming state: setup")
            self.status.move("setup")
        destination.listen(transport, access, exit_on_error=exit_on_error)

    def cancel(self) -> None:
        """Cancel an outgoing migration. Nothing happens when there is none, or after commit.

        Raises QMPError in QEMU's words in postcopy: there is no way back.
        """
        if self._sending is not None:
            self._sending.cancel()

    def continue_from(self, status: str) -> None:
        """Go on from `status`, in which the migration waits for the client.

        Raises QMPError in QEMU's words when it is in another; a destination is in none.
        """
        found = "none" if self.receives else self.status.value
        if status != found:
            raise QMPError(f"Migration not in expected state: {found}")
        if self._sending is not None:
            self._sending.go_on()

    def start_postcopy(self) -> None:
        """Let the destination start before it has all of RAM. Raises QMPError in QEMU's words."""
        if self._sending is None:
            raise QMPError("Postcopy must be started after migration has been started")
        self._sending.start_postcopy()

    def change(self) -> None:
        """A client has set something, or the guest has started or stopped."""
        if isinstance(self._last, MigrationSource):
            self._last.change()

    @property
    def throttle(self) -> int:
        """How much of its time auto-converge takes from the guest, in percent."""
        return self._last.throttle if isinstance(self._last, MigrationSource) else 0

    def pause(self, states: Collection[str]) -> bool:
        """Give up the channel of a postcopy migration; False if it is in none of `states`."""
        if self._last is None or self.status.value not in states:
            return False
        assert self._last.postcopy is not None
        self._last.postcopy.pause()
        return True

    def check_paused(self) -> MigrationSource:
        """Return what can be resumed. Raises QMPError in QEMU's words when there is nothing."""
        if self.status.value != "postcopy-paused" or self._sending is None:
            raise QMPError("Cannot resume if there is no paused migration")
        return self._sending

    def resume(self, transport: Transport, access: Access) -> None:
        """Go on with a paused postcopy migration over a channel of `transport`.

        Raises QMPError in QEMU's words when there is none, or no channel.
        """
        self.check_paused().resume(transport.connect(access))

    def recover(self, find: Callable[[], Transport], access: Access) -> None:
        """Go on with a paused incoming one, over what `find` returns and a source opens.

        Raises QMPError in QEMU's words when there is none.
        """
        last = self._last
        if not isinstance(last, MigrationDestination) or not last.waits:
            raise QMPError("Migrate recover can only be run when postcopy is paused.")
        last.recover(find(), access)

    @property
    def is_sending(self) -> bool:
        """Whether an outgoing migration is under way."""
        return self._sending is not None

    @property
    def forbids_plugging(self) -> bool:
        """Whether devices may neither come nor go: not yet of a destination that waits."""
        return self.status.under_way and not (self.receives and self.status.value == "setup")

    @property
    def is_awaited(self) -> bool:
        """Whether a source may come, or is there."""
        return isinstance(self._last, MigrationDestination) and not self._last.is_over

    @property
    def receives(self) -> bool:
        """Whether the last one came here, or is to come."""
        return isinstance(self._last, MigrationDestination)

    @property
    def plan(self) -> Plan | None:
        """The last hand-over's plan and report."""
        return None if self._last is None else self._last.plan

    async def reclaim(self) -> bool:
        """`cont` by an operator who knows that the other side is gone.

        Makes this process the owner of what it holds; returns whether it held anything.
        """
        return self._last is not None and not self.status.under_way and await self._last.reclaim()

    def query(self) -> dict[str, Any]:
        """Return the QAPI MigrationInfo."""
        status, last = self.status.value, self._last
        if last is None:
            return {}
        info: dict[str, Any] = {} if status == "none" else {"status": status}
        info |= last.to_qapi(status)
        error = last.error
        if last.postcopy is not None and status.startswith("postcopy"):
            error = last.postcopy.error
        if status in ("failed", "postcopy-paused") and error is not None:
            info["error-desc"] = error
        if last.plan is not None:
            info["backend-transfer"] = last.plan.to_qapi()
        return info

    async def close(self) -> None:
        """End whatever is under way and give back what is held."""
        if self._last is not None:
            await self._last.close()

    @property
    def _sending(self) -> MigrationSource | None:
        if isinstance(self._last, MigrationSource) and self.status.under_way:
            return self._last
        return None
