"""HMP commands that add and remove devices, netdevs, chardevs and objects.

QEMU: hmp-commands.hx, monitor/hmp-cmds.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.commands.hmp.table import Session, hmp
from qemu_sim.commands.registry import named_fds
from qemu_sim.errors import QMPError
from qemu_sim.qapi.keyval import parse_keyval
from qemu_sim.qapi.opts import Group

_REMOVERS = {
    "device_del": "device_del",
    "netdev_del": "netdev_del",
    "object_del": "object-del",
    "chardev-remove": "chardev-remove",
}


def _remover(name: str, command: str) -> None:
    @hmp(name, "id:s")
    async def run(session: Session, id: str) -> str:
        await session.execute(command, id=id)
        return ""


for _name, _command in _REMOVERS.items():
    _remover(_name, _command)


@hmp("device_add", "device:S")
async def device_add(session: Session, device: str) -> str:
    """Plug a device."""
    id, options = _read("device", "driver", device)
    driver = options.pop("driver", None)
    if driver is None:
        raise QMPError("Parameter 'driver' is missing")
    if session.machine.migration.status.under_way:
        raise QMPError("device_add not allowed while migrating")
    board = session.machine.board
    made = await board.add_device(driver, id, options, typed=False, hotplug=True)
    if made is not None and session.machine.is_running:
        made.run()
    return ""


@hmp("netdev_add", "netdev:S")
async def netdev_add(session: Session, netdev: str) -> str:
    """Make a netdev."""
    id, options = _read("netdev", "type", netdev)
    given = options if id is None else {**options, "id": id}
    checked = session.machine.schema.check_keyval("netdev_add", given)
    fds = named_fds(session.monitor, checked.get("fd") or checked.get("fds"))
    board = session.machine.board
    await board.add_netdev(checked.pop("type"), checked.pop("id"), checked, fds)
    return ""


@hmp("object_add", "object:S")
async def object_add(session: Session, object: str) -> str:
    """Make an object."""
    options = parse_keyval(object, "qom-type")
    checked = session.machine.schema.check_keyval("object-add", options)
    session.machine.board.add_object(checked.pop("qom-type"), checked.pop("id"), checked)
    return ""


@hmp("getfd", "name:s")
async def getfd(session: Session, name: str) -> str:
    """Name the descriptor that came with the line."""
    await session.execute("getfd", fdname=name)
    return ""


@hmp("closefd", "name:s")
async def closefd(session: Session, name: str) -> str:
    """Close a descriptor by its name."""
    await session.execute("closefd", fdname=name)
    return ""


def _read(group: str, implied: str, text: str) -> tuple[str | None, dict[str, Any]]:
    id, options = Group(group, implied).parse(text, lambda _warning: None)
    return id, options
