"""Devices and objects.

QEMU: qapi/qdev.json, system/qdev-monitor.c, qom/qom-qmp-cmds.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import Monitor, command
from qemu_sim.errors import QMPError
from qemu_sim.qapi.opts import check_id

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine


_TYPED = (8, 0, 0)  # before, options were strings, and a number was made one


@command("device_add", raw=True)
async def device_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Plug a device. Its properties are arguments beside `driver`, `bus` and `id`."""
    given = dict(arguments)
    driver, id = _driver(machine, given.pop("driver", None)), given.pop("id", None)
    if machine.migration.forbids_plugging:
        raise QMPError("device_add not allowed while migrating")
    device = await machine.board.add_device(driver, id, given, typed=True, hotplug=True)
    if device is not None and machine.run_state.running:
        device.run()


def _driver(machine: Machine, driver: object) -> str:
    """Return the name of a type of device, which no schema has checked."""
    if machine.profile.version < _TYPED:
        driver = {True: "on", False: "off"}[driver] if isinstance(driver, bool) else driver
        driver = str(driver) if isinstance(driver, int | float) else driver
    if not isinstance(driver, str):
        raise QMPError("Parameter 'driver' is missing")
    return driver


@command("device_del")
def device_del(machine: Machine, *, id: str) -> None:
    """Unplug a device; DEVICE_DELETED follows."""
    if machine.migration.forbids_plugging:
        raise QMPError("device_del not allowed while migrating")
    machine.delete_device(id)


@command("object-add", raw=True)
def object_add(machine: Machine, arguments: dict[str, Any]) -> None:
    """Make an object."""
    options = dict(arguments)
    qom_type, id = options.pop("qom-type"), options.pop("id")
    check_id(id)
    machine.board.add_object(qom_type, id, options)


@command("object-del", monitor=True)
def object_del(machine: Machine, monitor: Monitor, *, id: str) -> None:
    """Remove an object; a monitor other than that which the command comes from is one, too."""
    machine.board.delete_object(id, asking=monitor.id)
