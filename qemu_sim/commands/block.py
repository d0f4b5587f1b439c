"""Media that come and go.

QEMU: qapi/block.json, qapi/block-core.json, block/qapi-system.c (do_open_tray)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qemu_sim.block import drive_options
from qemu_sim.commands.block_core import find_drive
from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.block.drive import Drive
    from qemu_sim.machine.machine import Machine


@command("eject")
def eject(
    machine: Machine, *, device: str | None = None, id: str | None = None, force: bool = False
) -> None:
    """Open the tray and take the medium out."""
    del force  # no guest here locks a tray
    drive = _removable(machine, device, id)
    _move_tray(machine, drive, is_open=True)
    drive.remove()


@command("blockdev-open-tray")
def blockdev_open_tray(
    machine: Machine, *, device: str | None = None, id: str | None = None, force: bool = False
) -> None:
    """Open the tray."""
    del force  # no guest here locks a tray
    _move_tray(machine, _removable(machine, device, id), is_open=True)


@command("blockdev-close-tray")
def blockdev_close_tray(
    machine: Machine, *, device: str | None = None, id: str | None = None
) -> None:
    """Close the tray."""
    _move_tray(machine, _removable(machine, device, id), is_open=False)


@command("blockdev-remove-medium")
def blockdev_remove_medium(machine: Machine, *, id: str) -> None:
    """Take the medium out of an open tray."""
    _open_tray(machine, id).remove()


@command("blockdev-insert-medium")
def blockdev_insert_medium(machine: Machine, *, id: str, node_name: str) -> None:
    """Put a medium into an open tray."""
    find_drive(machine, None, id)
    node = machine.board.graph.nodes.get(node_name)
    if node is None:
        raise QMPError(f"Node '{node_name}' not found")
    if any(drive.node is node for drive in machine.board.drives.listed()):
        raise QMPError(f"Node '{node_name}' is already in use")
    drive = _removable(machine, None, id)
    if not drive.tray_open:
        raise QMPError("Tray of the device is not open")
    if drive.node is not None:
        raise QMPError(f"There already is a medium in device '{id}'")
    drive.insert(node)


@command("blockdev-change-medium", raw=True)
async def blockdev_change_medium(machine: Machine, arguments: dict[str, Any]) -> None:
    """Put an image in the place of the medium."""
    device, id = arguments.get("device"), arguments.get("id")
    drive = find_drive(machine, device, id)
    values = {"if": "none", "file": arguments["filename"]}
    if "format" in arguments:
        values["format"] = arguments["format"]
    mode = arguments.get("read-only-mode", "retain")
    if mode == "read-only" or (mode == "retain" and drive.is_read_only):
        values["read-only"] = "on"
    options = drive_options.read(values)
    assert options is not None  # it has a file
    _removable(machine, device, id)
    node = await machine.board.graph.open(options)
    _move_tray(machine, drive, is_open=True)
    drive.remove()
    try:
        drive.insert(node)
    finally:
        machine.board.graph.drop_unused(node)
    _move_tray(machine, drive, is_open=False)


def _removable(machine: Machine, device: str | None, id: str | None) -> Drive:
    """Return a drive whose medium can be taken out. Raises QMPError in QEMU's words."""
    drive = find_drive(machine, device, id)
    if drive.device is not None and not drive.removable:
        raise QMPError(f"Device '{device or id}' is not removable")
    return drive


def _open_tray(machine: Machine, id: str) -> Drive:
    drive = _removable(machine, None, id)
    if not drive.tray_open:
        raise QMPError(f"Tray of device '{id}' is not open")
    return drive


def _move_tray(machine: Machine, drive: Drive, *, is_open: bool) -> None:
    """Move the tray, and tell; a drive without a device has none."""
    if drive.device is None or drive.tray_open == is_open:
        return
    drive.tray_open = is_open
    moved = {"device": drive.name, "id": drive.device, "tray-open": is_open}
    machine.events.emit("DEVICE_TRAY_MOVED", moved)
