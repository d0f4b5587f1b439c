"""Run, stop, reset, end.

QEMU: qapi/run-state.json, qapi/misc.json, monitor/qmp-cmds.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("query-status")
def query_status(machine: Machine) -> dict[str, Any]:
    """Return the run state."""
    # In the schema's order, because it decides between names of one hash bucket.
    status: dict[str, Any] = {"running": machine.run_state.running}
    if machine.profile.version < (8, 1, 0):  # singlestep was dropped in 8.1
        status["singlestep"] = False
    status["status"] = machine.run_state.value
    return status


@command("stop")
async def stop(machine: Machine) -> None:
    """Stop the guest."""
    await machine.stop()


@command("cont")
async def cont(machine: Machine) -> None:
    """Start the guest, or take over what an interrupted hand-over left here."""
    await machine.cont()


@command("system_reset")
def system_reset(machine: Machine) -> None:
    """Reset the guest."""
    machine.reset()


@command("system_powerdown")
def system_powerdown(machine: Machine) -> None:
    """Press the power button. The simulated guest has no ACPI and does not react."""
    machine.events.emit("POWERDOWN")


@command("quit")
def quit_(machine: Machine) -> None:
    """End the process in order."""
    machine.shut_down("host-qmp-quit")
