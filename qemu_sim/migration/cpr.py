"""Migration on one host that leaves guest RAM where it is: checkpoint and restart (CPR).

QEMU: docs/devel/migration/CPR.rst, migration/cpr.c, migration/ram.c (migrate_ram_is_ignored)

In each of the modes the guest stops before anything is saved.

    cpr-reboot    the machine goes into a file; with `x-ignore-shared`, RAM that is a file
                  of the host is not in it
    cpr-transfer  RAM's descriptor goes ahead, on a channel of its own:

        source                            destination
        migrate main, cpr                 -incoming main -incoming cpr; no monitor yet
          connect cpr, send RAM's fd  →   make the machine around that RAM, open the monitors
                                          listen at main, here or by migrate-incoming
          connect main                ←   close cpr
          stop, send the devices      →   continue

    cpr-exec      the process becomes the program of `cpr-exec-command`, which inherits RAM
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.migration.capabilities import Capabilities
    from qemu_sim.migration.side import Side

TRANSFER = "cpr-transfer"
EXEC = "cpr-exec"
EXEC_COMMAND = "cpr-exec-command"
"""The parameter."""

_NAMED_SINCE = (8, 1, 0)  # before, x-ignore-shared loses RAM that no other process can open


def is_cpr(mode: str) -> bool:
    """Whether the guest stops first in a migration of that `mode`."""
    return mode.startswith("cpr-")


def leaves_ram(machine: Side, mode: str) -> bool:
    """Whether RAM stays where it is, so that none of its pages is in the stream."""
    if mode in (TRANSFER, EXEC):
        return True
    memory = machine.memory
    can_be_opened = memory.is_named_file or machine.version < _NAMED_SINCE
    return machine.capabilities.enabled("x-ignore-shared") and memory.shared and can_be_opened


def check_alone(capabilities: Capabilities) -> None:
    """Raise QMPError in QEMU's words if a capability is on that no such migration can have."""
    for capability, words in (
        ("postcopy-ram", "postcopy"),
        ("background-snapshot", "background snapshot"),
        ("x-colo", "COLO"),
    ):
        if capabilities.enabled(capability):
            raise QMPError(f"Cannot use {words} with CPR")


def channel_of(channels: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return the QAPI MigrationAddress of the channel `cpr`. Raises QMPError if there is none."""
    for channel in channels or ():
        if channel["channel-type"] == "cpr":
            address: dict[str, Any] = channel["addr"]
            return address
    raise QMPError("missing 'cpr' migration channel")
