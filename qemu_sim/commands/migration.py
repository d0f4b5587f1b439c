"""Migration and backend transfer.

QEMU: qapi/migration.json, migration/migration.c; `backend-transfer` is our extension.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import Monitor, command
from qemu_sim.errors import QMPError
from qemu_sim.machine.blockers import blockers
from qemu_sim.migration import address as addresses
from qemu_sim.migration import cpr, transfer
from qemu_sim.migration.cpr_transport import CprTransport
from qemu_sim.qapi import shape

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine
    from qemu_sim.migration.transport import Transport

_NOT_LOCAL = "backend-transfer requires a UNIX domain socket channel"


@command("migrate", monitor=True)
def migrate(  # noqa: PLR0913  (the QAPI command's own arguments)
    machine: Machine,
    monitor: Monitor,
    *,
    uri: str | None = None,
    channels: list[dict[str, Any]] | None = None,
    backend_transfer: bool = False,
    backend_transfer_devices: list[str] | None = None,
    detach: bool = True,
    resume: bool = False,
    blk: bool = False,
    inc: bool = False,
) -> None:
    """Start to migrate this machine; the rest happens in the background."""
    del detach  # accepted and without meaning, as in QEMU
    if (blk or inc) and any(drive.node is not None for drive in machine.board.drives.listed()):
        raise QMPError("block migration is not simulated by qemu-sim")
    if backend_transfer_devices is not None and not backend_transfer:
        raise QMPError("'backend-transfer-devices' requires 'backend-transfer'")
    machine.admission.check_may_migrate(resume=resume)
    if backend_transfer and machine.capabilities.enabled("postcopy-ram"):
        raise QMPError("backend-transfer is not compatible with postcopy-ram")
    mode = machine.migration_mode

    def find() -> Transport:
        transport = addresses.parse(uri, channels, machine.profile.version)
        if backend_transfer and not transport.can_carry_fds:
            raise QMPError(_NOT_LOCAL)
        machine.admission.check_channels(transport)
        machine.dialect.check_channel(is_unix=transport.can_carry_fds)
        if mode == cpr.TRANSFER:
            return CprTransport(transport, cpr.channel_of(channels), machine.memory)
        return transport

    if resume:
        machine.migration.resume(find(), machine.admission.access(monitor.named_fds))
        return
    plan = machine.dialect.plan(transfer=backend_transfer, names=backend_transfer_devices)
    if plan is not None and cpr.is_cpr(mode):
        raise QMPError(f"backend-transfer is not compatible with mode={mode}")
    machine.migration.start(find, machine.admission.access(monitor.named_fds), plan)


@command("migrate_cancel")
def migrate_cancel(machine: Machine) -> None:
    """Cancel the migration under way; the machine goes on."""
    machine.migration.cancel()


@command("migrate-incoming", monitor=True)
async def migrate_incoming(
    machine: Machine,
    monitor: Monitor,
    *,
    uri: str | None = None,
    channels: list[dict[str, Any]] | None = None,
    exit_on_error: bool = True,
) -> None:
    """Wait for a source, on a machine started with -incoming defer."""
    await machine.admission.listen(uri, channels, monitor.named_fds, exit_on_error=exit_on_error)


@command("query-migrate")
def query_migrate(machine: Machine) -> dict[str, Any]:
    """Return status and progress, and what became of each backend."""
    reasons = blockers(machine)
    told = machine.migration.query() | ({"blocked-reasons": reasons} if reasons else {})
    return shape.answer(machine.schema.by_name, "query-migrate", told)  # type: ignore[no-any-return]


@command("query-backend-transfer")
def query_backend_transfer(machine: Machine) -> list[dict[str, Any]]:
    """Return for each device whether its backend could be handed over."""
    return transfer.support(machine.migrating.devices, machine.transfer_by_default)


@command("query-backend-transfer-support")
def query_backend_transfer_support(machine: Machine) -> list[dict[str, Any]]:
    """Return the devices whose backend can be handed over, in the dialect that asks so."""
    return machine.dialect.support()


@command("migrate-set-capabilities")
def migrate_set_capabilities(machine: Machine, *, capabilities: list[dict[str, Any]]) -> None:
    """Switch capabilities on or off; all of them or, on an error, none."""
    if machine.migration.is_sending:
        raise QMPError("There's a migration process in progress")
    started = machine.migration.is_awaited
    machine.capabilities.set(capabilities, machine.parameters, incoming_started=started)


@command("query-migrate-capabilities")
def query_migrate_capabilities(machine: Machine) -> list[dict[str, Any]]:
    """Return all capabilities."""
    return machine.capabilities.query()


@command("migrate-set-parameters", raw=True)
def migrate_set_parameters(machine: Machine, arguments: dict[str, Any]) -> None:
    """Set parameters; all of them or, on an error, none."""
    check = machine.dialect.check_parameters
    machine.parameters.set(arguments, machine.capabilities.names(), check)
    machine.migration.change()


@command("query-migrate-parameters")
def query_migrate_parameters(machine: Machine) -> dict[str, Any]:
    """Return all parameters."""
    return machine.parameters.query()
