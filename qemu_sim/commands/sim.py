"""Our own commands: drive the simulated guest and the clock, hold and break a migration.

Declared in schemas/extension.json. On a TCP monitor they are refused: whoever reaches the
port could stop or kill the machine with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim import faults
from qemu_sim.clock import MILLISECOND, ManualClock
from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError
from qemu_sim.hooks import check_passed

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("x-sim-guest-io")
def x_sim_guest_io(
    machine: Machine, *, device: str, enable: bool, queue_depth: int = 1, write: bool = False
) -> None:
    """Start or stop the guest's verified load on a disk."""
    found = machine.board.device(device)
    if not enable:
        found.stop_load()
        return
    if queue_depth < 1:
        raise QMPError("Parameter 'queue-depth' expects a value of at least 1")
    found.start_load(queue_depth, write)


@command("x-sim-query-guest")
def x_sim_query_guest(machine: Machine) -> list[dict[str, Any]]:
    """Return the guest's counters of each device that it uses."""
    reports = ((device, device.report()) for device in machine.board.devices)
    return [{"device": device.name, **report} for device, report in reports if report is not None]


@command("x-sim-set-guest")
def x_sim_set_guest(
    machine: Machine,
    *,
    dirty_rate: int | None = None,
    ram_used: int | None = None,
    migration_polls: int | None = None,
) -> None:
    """Set what the guest does with its RAM, and what a migration goes on by; it is felt at once."""
    given = {"dirty-rate": dirty_rate, "ram-used": ram_used, "migration-polls": migration_polls}
    for name, value in given.items():
        if value is not None and value < 0:
            raise QMPError(f"Parameter '{name}' expects a non-negative value")
    load = machine.guest_load
    load.dirty_rate = load.dirty_rate if dirty_rate is None else dirty_rate
    load.ram_used = load.ram_used if ram_used is None else ram_used
    load.migration_polls = load.migration_polls if migration_polls is None else migration_polls
    machine.migration.change()


@command("x-sim-migration-hold")
def x_sim_migration_hold(machine: Machine, *, at: str) -> None:
    """Let the next migration that reaches the point `at` wait there."""
    check_passed(at, incoming=machine.options.incoming)
    machine.hooks.hold(at)


@command("x-sim-migration-step")
def x_sim_migration_step(machine: Machine) -> None:
    """Let a waiting migration go on to its next point and wait there."""
    machine.hooks.step()


@command("x-sim-migration-release")
def x_sim_migration_release(machine: Machine) -> None:
    """Let a waiting migration go on, and forget all holds."""
    machine.hooks.release()


@command("x-sim-inject-fault")
def x_sim_inject_fault(machine: Machine, *, fault: str, at: str | None = None) -> None:
    """Let something go wrong in the next migration."""
    faults.arm(machine.hooks, fault, at, incoming=machine.options.incoming)


@command("x-sim-clock-advance")
async def x_sim_clock_advance(machine: Machine, *, ms: int) -> None:
    """Let time pass on a manual clock; the answer comes after all that happens in it."""
    if not isinstance(machine.clock, ManualClock):
        raise QMPError("The clock is not a manual one (-sim clock=manual)")
    if ms < 0:
        raise QMPError("Parameter 'ms' expects a non-negative value")
    await machine.clock.advance(ms * MILLISECOND)
