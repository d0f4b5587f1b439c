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
async def system_reset(machine: Machine) -> None:
    """Reset the guest, or do what -action reboot= says."""
    await machine.power.reset()


@command("system_wakeup")
def system_wakeup(machine: Machine) -> None:
    """Wake a guest that sleeps."""
    machine.wake_up()


@command("x-exit-preconfig")
async def x_exit_preconfig(machine: Machine) -> None:
    """End the phase that --preconfig began."""
    await machine.initialize()


@command("set-action")
def set_action(machine: Machine, **actions: str) -> None:
    """Say what follows a reboot, a shutdown, a panic or the watchdog."""
    machine.power.actions.update(actions)


@command("watchdog-set-action")
def watchdog_set_action(machine: Machine, *, action: str) -> None:
    """Say what follows the watchdog."""
    machine.power.actions["watchdog"] = action


@command("system_powerdown")
def system_powerdown(machine: Machine) -> None:
    """Press the power button. The simulated guest has no ACPI and does not react."""
    machine.events.emit("POWERDOWN")


@command("quit")
def quit_(machine: Machine) -> None:
    """End the process in order."""
    machine.shut_down("host-qmp-quit")
