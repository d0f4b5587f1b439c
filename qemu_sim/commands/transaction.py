"""Dirty bitmaps and snapshots, alone or several at once.

QEMU: qapi/transaction.json, blockdev.c (qmp_transaction), block/monitor/bitmap-qmp-cmds.c

An action is done when it is read, and returns what undoes it; when a later one fails, those
before it are undone in turn. Backups start when all actions are done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from qemu_sim.block import bitmap
from qemu_sim.commands import block_files
from qemu_sim.commands import snapshot as snapshots
from qemu_sim.commands.block_core import bitmap_node
from qemu_sim.commands.block_jobs import prepare_blockdev_backup
from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError
from qemu_sim.machine.job import Job
from qemu_sim.machine.job_group import JobGroup

if TYPE_CHECKING:
    from qemu_sim.block.node import Node
    from qemu_sim.machine.machine import Machine

Arguments = dict[str, Any]
Undo = Callable[[], None]
Commit = Callable[[], None]
_MAKE_JOBS = ("blockdev-backup", "drive-backup")
_SMALL_SINCE = (8, 0)  # the word transaction in a message


_Done = tuple[Undo, Commit] | tuple[Undo, Commit, Job]


class Done(NamedTuple):
    """An action that was done: what undoes it, what follows it, and its job."""

    undo: Undo
    commit: Commit
    job: Job | None = None


@command("transaction")
async def transaction(
    machine: Machine, *, actions: list[Arguments], properties: Arguments | None = None
) -> None:
    """Do all of the actions, or none."""
    grouped = (properties or {}).get("completion-mode", "individual") == "grouped"
    all_done: list[Done] = []
    try:
        for action in actions:
            if grouped:
                _check_grouped(machine, action["type"])
            all_done.append(Done(*await _act(machine, action["type"], action["data"])))
    except QMPError:
        for done in reversed(all_done):
            done.undo()
        raise
    if grouped:
        JobGroup([done.job for done in all_done if done.job is not None])
    for done in all_done:
        done.commit()


@command("block-dirty-bitmap-add", raw=True)
def block_dirty_bitmap_add(machine: Machine, arguments: Arguments) -> None:
    """Make a bitmap."""
    _add(machine, arguments)


@command("block-dirty-bitmap-remove", raw=True)
def block_dirty_bitmap_remove(machine: Machine, arguments: Arguments) -> None:
    """Forget a bitmap."""
    _remove(machine, arguments)


@command("block-dirty-bitmap-enable", raw=True)
def block_dirty_bitmap_enable(machine: Machine, arguments: Arguments) -> None:
    """Have a bitmap note writes."""
    _record(machine, arguments, recording=True)


@command("block-dirty-bitmap-disable", raw=True)
def block_dirty_bitmap_disable(machine: Machine, arguments: Arguments) -> None:
    """Have a bitmap note nothing."""
    _record(machine, arguments, recording=False)


@command("block-dirty-bitmap-clear", raw=True)
def block_dirty_bitmap_clear(machine: Machine, arguments: Arguments) -> None:
    """Clean a bitmap."""
    _clear(machine, arguments)


@command("blockdev-snapshot", raw=True)
def blockdev_snapshot(machine: Machine, arguments: Arguments) -> None:
    """Put an image above another, in its place."""
    _snapshot(machine, arguments)


@command("block-dirty-bitmap-merge", raw=True)
def block_dirty_bitmap_merge(machine: Machine, arguments: Arguments) -> None:
    """Note in one bitmap what others have noted."""
    _merge(machine, arguments)


@command("x-debug-block-dirty-bitmap-sha256")
def x_debug_block_dirty_bitmap_sha256(machine: Machine, *, node: str, name: str) -> dict[str, str]:
    """Return the hash of what a bitmap has noted."""
    found, noted = _find(machine, {"node": node, "name": name})
    return {"sha256": noted.sha256(found.size)}


def _check_grouped(machine: Machine, kind: str) -> None:
    if kind not in _MAKE_JOBS:
        word = "transaction" if machine.version >= _SMALL_SINCE else "Transaction"
        raise QMPError(
            f"Action '{kind}' does not support {word} property completion-mode = grouped"
        )


async def _act(machine: Machine, kind: str, arguments: Arguments) -> _Done:
    done = _ACTIONS[kind](machine, arguments)
    return await done if isinstance(done, Awaitable) else done


def _nothing() -> None:
    """Nothing is left to do."""


def _abort(_machine: Machine, _arguments: Arguments) -> tuple[Undo, Commit]:
    raise QMPError("Transaction aborted using Abort action")


def _add(machine: Machine, arguments: Arguments) -> tuple[Undo, Commit]:
    node, name = _node(machine, arguments["node"]), arguments["name"]
    made = bitmap.make(arguments)
    if name in node.bitmaps:
        raise QMPError(f"Bitmap already exists: {name}")
    node.bitmaps[name] = made
    return lambda: node.bitmaps.__delitem__(name), _nothing


def _remove(machine: Machine, arguments: Arguments) -> tuple[Undo, Commit]:
    node, found = _find(machine, arguments)
    del node.bitmaps[found.name]
    return lambda: node.bitmaps.__setitem__(found.name, found), _nothing


def _record(machine: Machine, arguments: Arguments, *, recording: bool) -> tuple[Undo, Commit]:
    _, found = _find(machine, arguments)
    before, found.recording = found.recording, recording
    return lambda: setattr(found, "recording", before), _nothing


def _enable(machine: Machine, arguments: Arguments) -> tuple[Undo, Commit]:
    return _record(machine, arguments, recording=True)


def _disable(machine: Machine, arguments: Arguments) -> tuple[Undo, Commit]:
    return _record(machine, arguments, recording=False)


def _clear(machine: Machine, arguments: Arguments) -> tuple[Undo, Commit]:
    _, found = _find(machine, arguments)
    before, found.dirty = found.dirty, set()
    return lambda: setattr(found, "dirty", before), _nothing


def _merge(machine: Machine, arguments: Arguments) -> tuple[Undo, Commit]:
    node = arguments["node"]
    _, target = _find(machine, {"node": node, "name": arguments["target"]})
    named = [
        source if isinstance(source, dict) else {"node": node, "name": source}
        for source in arguments["bitmaps"]
    ]
    sources = [_find(machine, each)[1] for each in named]
    before, target.dirty = target.dirty, set(target.dirty)
    for source in sources:
        target.merge(source)
    return lambda: setattr(target, "dirty", before), _nothing


def _snapshot(machine: Machine, arguments: Arguments) -> tuple[Undo, Commit]:
    node, overlay = (_node(machine, arguments[key]) for key in ("node", "overlay"))
    return machine.board.graph.snapshot(node, overlay), _nothing


def _internal_snapshot(machine: Machine, arguments: Arguments) -> tuple[Undo, Commit]:
    return snapshots.take(machine, arguments), _nothing


def _backup(machine: Machine, arguments: Arguments) -> _Done:
    job, start = prepare_blockdev_backup(machine, arguments)
    return job.give_up, start, job


async def _backup_to_file(machine: Machine, arguments: Arguments) -> _Done:
    return await block_files.prepare_backup(machine, arguments)


async def _snapshot_to_file(machine: Machine, arguments: Arguments) -> tuple[Undo, Commit]:
    return await block_files.snapshot(machine, arguments)


def _node(machine: Machine, name: str) -> Node:
    return machine.board.drives.node_of(name, name)


def _find(machine: Machine, arguments: Arguments) -> tuple[Node, bitmap.Bitmap]:
    node, name = bitmap_node(machine, arguments["node"]), arguments["name"]
    if name not in node.bitmaps:
        raise QMPError(f"Dirty bitmap '{name}' not found")
    return node, node.bitmaps[name]


_ACTIONS: dict[str, Callable[[Machine, Arguments], _Done | Awaitable[_Done]]] = {
    "abort": _abort,
    "block-dirty-bitmap-add": _add,
    "block-dirty-bitmap-remove": _remove,
    "block-dirty-bitmap-enable": _enable,
    "block-dirty-bitmap-disable": _disable,
    "block-dirty-bitmap-clear": _clear,
    "block-dirty-bitmap-merge": _merge,
    "blockdev-snapshot": _snapshot,
    "blockdev-snapshot-internal-sync": _internal_snapshot,
    "blockdev-snapshot-sync": _snapshot_to_file,
    "blockdev-backup": _backup,
    "drive-backup": _backup_to_file,
}
