"""Steps of a migration that a client takes by hand.

QEMU: qapi/migration.json, migration/migration.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.commands.registry import Monitor, command
from qemu_sim.errors import QMPError
from qemu_sim.migration import address as addresses

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine
    from qemu_sim.migration.transport import Transport

_NEWER = (8, 0, 0)  # than 7.2


@command("migrate-start-postcopy")
def migrate_start_postcopy(machine: Machine) -> None:
    """Let the destination start before it has all of RAM."""
    if not machine.capabilities.enabled("postcopy-ram"):
        raise QMPError("Enable postcopy with migrate_set_capability before the start of migration")
    machine.migration.start_postcopy()


@command("migrate-pause")
def migrate_pause(machine: Machine) -> None:
    """Give up the channel of a migration in postcopy; it can be taken up on another."""
    states = ["postcopy-active"]
    if machine.profile.version >= _NEWER:
        states.append("postcopy-recover")
    if not machine.migration.pause(states):
        during = " or ".join(states)
        raise QMPError(f"migrate-pause is currently only supported during {during} state")


@command("migrate-recover", monitor=True)
def migrate_recover(machine: Machine, monitor: Monitor, *, uri: str) -> None:
    """Wait for the source of a paused migration to come back."""

    def find() -> Transport:
        transport = addresses.parse(uri, None, machine.profile.version)
        machine.admission.check_channels(transport)
        return transport

    machine.migration.recover(find, machine.admission.access(monitor.named_fds))


@command("migrate-continue")
def migrate_continue(machine: Machine, *, state: str) -> None:
    """Go on from a state in which the migration waits for the client."""
    machine.migration.continue_from(state)
