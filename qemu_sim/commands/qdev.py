"""Devices and objects.

QEMU: qapi/qdev.json, system/qdev-monitor.c, qom/qom-qmp-cmds.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


@command("device_add", raw=True)
async def device_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Plug a device. Its properties are arguments beside `driver`, `bus` and `id`."""
    given = dict(arguments)
    driver, id = given.pop("driver", None), given.pop("id", None)
    if driver is None:
        raise QMPError("Parameter 'driver' is missing")
    if machine.migration.status.under_way:
        raise QMPError("device_add not allowed while migrating")
    device = await machine.board.add_device(driver, id, given, typed=True, hotplug=True)
    if machine.run_state.running:
        device.run()


@command("device_del")
async def device_del(machine: Machine, *, id: str) -> None:
    """Unplug a device; DEVICE_DELETED follows."""
    if machine.migration.status.under_way:
        raise QMPError("device_del not allowed while migrating")
    await machine.delete_device(id)


@command("object-add", raw=True)
def object_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Make an object."""
    options = dict(arguments)
    qom_type, id = options.pop("qom-type"), options.pop("id")
    machine.board.add_object(qom_type, id, options)


@command("object-del")
def object_del(machine: Machine, *, id: str) -> None:
    """Remove an object."""
    machine.board.delete_object(id)
