"""HMP commands about drives, block nodes and jobs.

QEMU: block/monitor/block-hmp-cmds.c
"""

from __future__ import annotations

from typing import Any

from qemu_sim.commands.hmp.table import Session, forward, hmp
from qemu_sim.errors import DeviceNotFound, QMPError
from qemu_sim.qapi.opts import Group

# HMP name, QMP name, for those whose arguments have the same names in both.
_SAME_ARGUMENTS = {
    "block_job_cancel": "block-job-cancel",
    "block_job_complete": "block-job-complete",
    "block_job_pause": "block-job-pause",
    "block_job_resume": "block-job-resume",
    "block_job_set_speed": "block-job-set-speed",
    "block_resize": "block_resize",
    "eject": "eject",
    "snapshot_blkdev_internal": "blockdev-snapshot-internal-sync",
    "snapshot_delete_blkdev_internal": "blockdev-snapshot-delete-internal-sync",
}
_DRIVE = Group("drive")
# include/system/blockdev.h
_BUSES = ("none", "ide", "scsi", "floppy", "pflash", "mtd", "sd", "virtio", "xen")
_NEWER = (8, 0, 0)  # than 7.2, which forgets to say "Error: " now and then

for _name, _command in _SAME_ARGUMENTS.items():
    forward(_name, _command)


@hmp("block_stream")
async def block_stream(session: Session, device: str, **options: Any) -> str:
    """Copy from a backing file; the job has the device's name."""
    await session.execute("block-stream", job_id=device, device=device, **options)
    return ""


@hmp("block_set_io_throttle")
async def block_set_io_throttle(session: Session, device: str, **limits: int) -> str:
    """Limit a drive, which is named itself or by its device."""
    drives = session.machine.board.drives.listed()
    which = "device" if any(drive.name == device for drive in drives) else "id"
    await session.execute("block_set_io_throttle", **{which: device}, **limits)
    return ""


@hmp("change")
async def change(
    session: Session, device: str, target: str, *, force: bool = False, **more: str
) -> str:
    """Put another medium in a drive."""
    if device == "vnc":
        if target not in ("passwd", "password"):
            return _bare_before_8(session, "Expected 'password' after 'vnc'")
        if "arg" not in more:
            return "terminal does not support password prompting\n"
        await session.execute("change-vnc-password", password=more["arg"])
        return ""
    given: dict[str, Any] = {"force": force} if force else {}
    if "arg" in more:
        given["format"] = more.pop("arg")
    await session.execute("blockdev-change-medium", device=device, filename=target, **given, **more)
    return ""


@hmp("commit")
def commit(session: Session, device: str) -> str:
    """Write what an overlay holds to its backing file: here only where there is nothing."""
    drives = session.machine.board.drives.listed()
    if device == "all" and not any(drive.node for drive in drives):
        return ""
    if device != "all" and not any(drive.name == device for drive in drives):
        return _bare_before_8(session, f"Device '{device}' not found")
    raise QMPError("not simulated by qemu-sim: commit")


@hmp("drive_add")
async def drive_add(session: Session, pci_addr: str, opts: str, *, node: bool = False) -> str:
    """Make a drive for a device, or with `node` a block node."""
    del pci_addr  # of a controller, once
    try:
        id, values = _DRIVE.parse(opts, lambda _warning: None)
    except QMPError as error:
        return f"{error}\n"
    if any(drive.name == id for drive in session.machine.board.drives.listed()):
        return f"Duplicate ID '{id}' for drive\n"
    try:
        if node:
            await _add_node(session, values)
            return ""
        await _add_drive(session, values if id is None else {**values, "id": id})
    except QMPError as error:
        return _bare_before_8(session, error.hinted)
    return "OK\n"


async def _add_node(session: Session, values: dict[str, Any]) -> None:
    if "node-name" not in values:
        raise QMPError("'node-name' needs to be specified")
    machine = session.machine
    await machine.board.graph.add(machine.schema.check_keyval("blockdev-add", values))


async def _add_drive(session: Session, values: dict[str, Any]) -> None:
    bus = values.get("if")
    if bus is not None and bus not in _BUSES:
        raise QMPError(f"unsupported bus type '{bus}'")
    if bus != "none":
        raise QMPError("not simulated by qemu-sim: drive_add without if=none")
    drives = session.machine.board.drives
    await drives.define(values, f"none{len(drives.listed())}")


@hmp("drive_del")
def drive_del(session: Session, id: str) -> str:
    """Take a drive away, from its device if one uses it."""
    try:
        session.machine.board.drives.delete(id)
    except DeviceNotFound as error:
        return _bare_before_8(session, str(error))
    return ""


@hmp("snapshot_blkdev")
async def snapshot_blkdev(
    session: Session,
    device: str,
    snapshot_file: str | None = None,
    *,
    reuse: bool = False,
    **named: str,
) -> str:
    """Put an overlay on a drive."""
    if snapshot_file is None:
        raise QMPError("Parameter 'snapshot-file' is missing")
    mode = "existing" if reuse else "absolute-paths"
    given = {"device": device, "snapshot_file": snapshot_file, "mode": mode, **named}
    await session.execute("blockdev-snapshot-sync", **given)
    return ""


@hmp("drive_mirror")
async def drive_mirror(session: Session, **given: Any) -> str:
    """Copy a drive to a file, and all that is written to it."""
    await session.execute("drive-mirror", **_copy(**given))
    return ""


@hmp("drive_backup")
async def drive_backup(session: Session, *, compress: bool = False, **given: Any) -> str:
    """Copy what a drive holds at this moment to a file."""
    await session.execute("drive-backup", compress=compress, **_copy(**given))
    return ""


def _copy(*, reuse: bool = False, full: bool = False, **named: str) -> dict[str, Any]:
    mode = "existing" if reuse else "absolute-paths"
    return {"sync": "full" if full else "top", "mode": mode, **named}


def _bare_before_8(session: Session, text: str) -> str:
    """Raise the error, or return its text alone where QEMU only printed that."""
    if session.machine.profile.version >= _NEWER:
        raise QMPError(text)
    return f"{text}\n"
