"""Steps of a migration that a client takes by hand.

QEMU: qapi/migration.json, migration/migration.c

Postcopy is not simulated, so these fail as on a machine that is not in postcopy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

_NEWER = (8, 0, 0)  # than 7.2


@command("migrate-start-postcopy")
def migrate_start_postcopy(machine: Machine) -> None:
    """Refuse in QEMU's words; a migration with postcopy-ram does not even begin here."""
    if not machine.capabilities.enabled("postcopy-ram"):
        raise QMPError("Enable postcopy with migrate_set_capability before the start of migration")
    raise QMPError("Postcopy must be started after migration has been started")


@command("migrate-pause")
def migrate_pause(machine: Machine) -> None:
    """Refuse: no migration is in postcopy."""
    states = "postcopy-active state"
    if machine.profile.version >= _NEWER:
        states = "postcopy-active or postcopy-recover state"
    raise QMPError(f"migrate-pause is currently only supported during {states}")


@command("migrate-recover")
def migrate_recover(_: Machine, *, uri: str) -> None:
    """Refuse: no migration is paused in postcopy."""
    del uri
    raise QMPError("Migrate recover can only be run when postcopy is paused.")


@command("migrate-continue")
def migrate_continue(machine: Machine, *, state: str) -> None:
    """Go on from a state in which the migration waits for the client."""
    machine.migration.continue_from(state)
