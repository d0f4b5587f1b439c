"""Whether a machine may migrate now, and what it takes to wait for another.

QEMU: migration/migration.c (migrate_prepare, qmp_migrate_incoming)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError
from qemu_sim.machine.blockers import blockers
from qemu_sim.migration import address as addresses
from qemu_sim.migration import cpr, multifd
from qemu_sim.migration.transport import Access

if TYPE_CHECKING:
    from collections.abc import Callable

    from qemu_sim.fds import Fd
    from qemu_sim.machine.machine import Machine
    from qemu_sim.migration.transport import Transport


class Admission:
    """Checks what a client wants of the migration of `machine`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.listening: Callable[[], None] = _nobody_waits
        """Told when a source can connect, or never will."""

    def check_may_migrate(self, *, resume: bool = False) -> None:
        """Raise QMPError in QEMU's words if this machine cannot be the source now."""
        machine = self._machine
        if resume:
            machine.migration.check_paused()
            return
        if machine.migration.is_sending:
            raise QMPError("There's a migration process in progress")
        if machine.run_state.value == "inmigrate":
            raise QMPError("Guest is waiting for an incoming migration")
        if machine.run_state.value == "postmigrate":
            raise QMPError("Can't migrate the vm that was paused due to previous migration")
        self._check_mode()
        self._refuse_not_simulated()

    def _check_mode(self) -> None:
        machine = self._machine
        mode = machine.migration_mode
        if mode == cpr.EXEC and not machine.parameters.get(cpr.EXEC_COMMAND):
            raise QMPError("cpr-exec mode requires setting cpr-exec-command")
        if mode == cpr.EXEC and machine.become is None:
            raise QMPError("cpr-exec needs a process of its own: use qemu_sim_mode 'daemon'")
        reasons = blockers(machine)
        if reasons:
            raise QMPError(reasons[-1])
        if cpr.is_cpr(mode):
            cpr.check_alone(machine.capabilities)

    def check_awaits_migration(self) -> None:
        """Raise QMPError in QEMU's words unless this machine was started as a destination."""
        machine = self._machine
        if machine.run_state.value != "inmigrate" or not machine.options.incoming:
            raise QMPError("'-incoming' was not specified on the command line")

    async def listen(
        self,
        uri: str | None,
        channels: list[dict[str, Any]] | None,
        named_fds: dict[str, Fd] | None,
        *,
        exit_on_error: bool,
    ) -> None:
        """Wait for a source; `named_fds` are the client's. Raises QMPError in QEMU's words."""
        machine = self._machine
        self.check_awaits_migration()
        if machine.migration.is_awaited:
            raise QMPError("The incoming migration has already been started")
        self._refuse_not_simulated()
        if machine.version < addresses.CHANNELS_SINCE:
            machine.events.emit("MIGRATION", {"status": "setup"})  # whoever asked for such events
        if channels is not None and len(channels) > 1:
            raise QMPError("Channel list must have only one entry, for type 'main'")
        transport = addresses.parse(uri, channels, machine.version)
        self.check_channels(transport)
        machine.dialect.check_channel(is_unix=transport.can_carry_fds)
        await machine.dialect.open_early()
        access = self.access(named_fds)._replace(channels=1 + multifd.channels(machine.migrating))
        try:
            machine.migration.listen(transport, access, exit_on_error=exit_on_error)
        finally:
            self.listening()

    def check_channels(self, transport: Transport) -> None:
        """Raise QMPError in QEMU's words if it takes several channels, or places, and has none."""
        machine = self._machine
        if machine.capabilities.enabled("mapped-ram") and not transport.can_seek:
            raise QMPError("Migration requires seekable transport (e.g. file)")
        needs_many = multifd.channels(machine.migrating) or machine.capabilities.enabled(
            "postcopy-preempt"
        )
        is_checked = machine.version >= addresses.CHANNELS_SINCE  # else it fails, or not
        if needs_many and is_checked and not transport.can_be_many:
            raise QMPError("Migration requires multi-channel URIs (e.g. tcp)")

    def access(self, named_fds: dict[str, Fd] | None) -> Access:
        """What a transport may use for a client whose `getfd` named these descriptors."""
        machine = self._machine
        return Access(machine.version, machine.options.check_peer, machine.fdsets.reopen, named_fds)

    def refuse_given_away(self) -> None:
        """Raise QMPError if another process uses this machine's backends, or its RAM."""
        plan = self._machine.migration.plan
        if plan is None or not plan.is_elsewhere:
            return
        gone = [entry.device.name for entry in plan.transferred()]
        if gone:
            raise QMPError(f"Backends were handed over to the destination: {', '.join(gone)}")
        raise QMPError("Guest RAM was handed over to the destination")

    def _refuse_not_simulated(self) -> None:
        machine = self._machine
        settings = [*machine.capabilities.not_simulated(), *machine.parameters.not_simulated()]
        compression = machine.parameters["multifd-compression"]
        if multifd.channels(machine.migrating) and compression not in multifd.COMPRESSIONS:
            settings.append(f"multifd-compression={compression}")
        if settings:
            raise QMPError(f"Migration with {', '.join(settings)} is not simulated by qemu-sim")


def _nobody_waits() -> None:
    """No other process has left its RAM to this one."""
