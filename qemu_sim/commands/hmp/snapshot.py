"""HMP commands about snapshots of the whole machine.

QEMU: migration/migration-hmp-cmds.c (hmp_savevm), block/monitor/block-hmp-cmds.c
(hmp_info_snapshots), block/qapi.c (bdrv_snapshot_dump)
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from qemu_sim.block.snapshot import SECOND, Snapshot
from qemu_sim.commands.hmp.table import Session, hmp
from qemu_sim.errors import QMPError
from qemu_sim.machine.snapshots import StateNotLoaded
from qemu_sim.qapi.sizes import size_text

if TYPE_CHECKING:
    from qemu_sim.block.snapshot_set import SnapshotSet

_ALWAYS_AN_ERROR_SINCE = (8, 0, 0)  # 7.2 forgets to say "Error: "
_WIDE_SINCE = (11, 0, 0)
_HEAD: tuple[str, ...] = ("ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT")
_NARROW = "{:9} {:16} {:>8}{:>20}{:>13}{:>11}"
_WIDE = "{:7} {:16} {:>8} {:>19} {:>15} {:>10}"
_MILLISECOND = 1_000_000
_HOUR, _MINUTE = 3600, 60


@hmp("savevm")
async def savevm(session: Session, name: str | None = None) -> str:
    """Take a snapshot, in place of one of that name."""
    await session.machine.snapshots.save(name, overwrite=True)
    return ""


@hmp("loadvm")
async def loadvm(session: Session, name: str) -> str:
    """Go back to a snapshot."""
    try:
        await session.machine.snapshots.load(name)
    except StateNotLoaded as error:
        return "".join(f"{line}\n" for line in (*error.printed, f"Error: {error}"))
    return ""


@hmp("delvm")
async def delvm(session: Session, name: str) -> str:
    """Forget a snapshot; it need not be there."""
    await session.machine.snapshots.delete(name)
    return ""


@hmp("info snapshots")
def snapshots(session: Session) -> str:
    """Print those that can be gone back to, and those that only some images have."""
    machine = session.machine
    images = machine.snapshots.images()
    try:
        holder = images.vm_state_member(None)
    except QMPError as error:
        if machine.version >= _ALWAYS_AN_ERROR_SINCE:
            raise
        return f"{error}\n"
    is_wide = machine.version >= _WIDE_SINCE
    whole = [each for each in holder.store.listed() if images.have(each.name)]
    lines = ["List of snapshots present on all disks:", *_table(whole, "--", is_wide=is_wide)]
    if not whole:
        lines[1:] = ["None"]
    partial = _partial(images, {each.name for each in whole})
    if not whole and not partial:
        return "There is no snapshot available.\n"
    for drive, some in partial:
        lines += ["", f"List of partial (non-loadable) snapshots on '{drive}':"]
        lines += _table(some, None, is_wide=is_wide)
    return "".join(f"{line}\n" for line in lines)


def _partial(images: SnapshotSet, whole: Iterable[str]) -> list[tuple[str, list[Snapshot]]]:
    found = []
    for member in images.known:
        if member.node.can_snapshot:
            some = [each for each in member.store.listed() if each.name not in whole]
            if some:
                found.append((member.drive, some))
    return found


def _table(listed: Iterable[Snapshot], id: str | None, *, is_wide: bool) -> list[str]:
    """Return a heading and a line for each; `id` stands in the place of theirs."""
    rows = [_HEAD, *(_row(each, id or each.id, is_wide=is_wide) for each in listed)]
    if is_wide:
        rows[0] = tuple(word.replace(" ", "_") for word in _HEAD)
    return [(_WIDE if is_wide else _NARROW).format(*row) for row in rows]


def _row(each: Snapshot, id: str, *, is_wide: bool) -> tuple[str, ...]:
    date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.date // SECOND))
    seconds, rest = divmod(each.vm_clock, SECOND)
    hours = f"{seconds // _HOUR:04}" if is_wide else f"{seconds // _HOUR:02}"
    minutes = f"{seconds // _MINUTE % _MINUTE:02}:{seconds % _MINUTE:02}"
    none = "--" if is_wide else ""
    icount = none if each.icount is None else str(each.icount)
    clock = f"{hours}:{minutes}.{rest // _MILLISECOND:03}"
    return id, each.name, size_text(each.vm_state_size), date, clock, icount
