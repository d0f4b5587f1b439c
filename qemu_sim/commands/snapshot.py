"""Internal snapshots: of one image, and of the whole machine as a job.

QEMU: blockdev.c (internal_snapshot_action), migration/savevm.c (snapshot_save_job_run and others)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from qemu_sim.block import snapshot as snapshots
from qemu_sim.commands.block_core import root_node
from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError
from qemu_sim.machine.job import Job, Wishes
from qemu_sim.qapi import shape

if TYPE_CHECKING:
    from qemu_sim.block.node import Node
    from qemu_sim.block.snapshot import Snapshot
    from qemu_sim.machine.machine import Machine

Arguments = dict[str, Any]
_DELETE = "blockdev-snapshot-delete-internal-sync"


@command("snapshot-save")
async def snapshot_save(
    machine: Machine, *, job_id: str, tag: str, vmstate: str, devices: list[str]
) -> None:
    """Take a snapshot of the machine."""
    work = machine.snapshots.save(tag, vmstate, devices)
    await _run(machine, job_id, "snapshot-save", work)


@command("snapshot-load")
async def snapshot_load(
    machine: Machine, *, job_id: str, tag: str, vmstate: str, devices: list[str]
) -> None:
    """Go back to a snapshot of the machine."""
    work = machine.snapshots.load(tag, vmstate, devices)
    await _run(machine, job_id, "snapshot-load", work)


@command("snapshot-delete")
async def snapshot_delete(machine: Machine, *, job_id: str, tag: str, devices: list[str]) -> None:
    """Forget a snapshot of the machine."""
    await _run(machine, job_id, "snapshot-delete", machine.snapshots.delete(tag, devices))


async def _run(machine: Machine, id: str, kind: str, work: Coroutine[Any, Any, None]) -> None:
    """Do the work before the reply, as QEMU does; the job ends behind it."""
    try:
        job = machine.jobs.make(id, kind, Wishes(is_block=False, auto_dismiss=False))
    except QMPError:
        work.close()
        raise
    job.begin()
    failure = await _failure(work)
    job.done = job.total

    async def end(job: Job) -> None:
        await job.step(job.total)  # the reply goes first
        if failure is not None:
            raise failure

    if job.status == "running":  # nobody has cancelled it meanwhile
        job.start(end)


async def _failure(work: Awaitable[None]) -> Exception | None:
    try:
        await work
    except Exception as error:  # noqa: BLE001  whatever it is, the job must end, and tell it
        return error
    return None


@command("blockdev-snapshot-internal-sync", raw=True)
def blockdev_snapshot_internal_sync(machine: Machine, arguments: Arguments) -> None:
    """Take a snapshot of one image."""
    take(machine, arguments)


def take(machine: Machine, arguments: Arguments) -> Callable[[], None]:
    """Take a snapshot of one image; returns what undoes that. Raises QMPError."""
    device, name = arguments["device"], arguments["name"]
    node = root_node(machine, device)
    _check(node, device, name)
    store = node.snapshot_store
    assert store is not None
    try:
        store.create(machine.snapshots.new(name))
    except QMPError as error:
        text = f"Failed to create snapshot '{name}' on device '{device}': {error}"
        raise QMPError(text) from None
    made = store.listed()[-1]
    return lambda: store.delete(made)


def _check(node: Node, device: str, name: str) -> None:
    if node.read_only:
        raise QMPError(f"Device '{device}' is read only")
    if not node.can_snapshot or node.snapshot_store is None:
        raise QMPError(
            f"Block format '{node.TYPE}' used by device '{device}' "
            "does not support internal snapshots"
        )
    if not name:
        raise QMPError("Name is empty")
    if snapshots.find(node.snapshot_store, name) is not None:
        raise QMPError(f"Snapshot with name '{name}' already exists on device '{device}'")


@command(_DELETE)
def blockdev_snapshot_delete_internal_sync(
    machine: Machine, *, device: str, id: str | None = None, name: str | None = None
) -> Any:
    """Forget a snapshot of one image; returns what it was."""
    node = root_node(machine, device)
    if id is None and name is None:
        raise QMPError("Name or id must be provided")
    store = node.snapshot_store
    if store is None:
        raise QMPError("Failed to get a snapshot list: Operation not supported")
    found = next((each for each in store.listed() if _is_meant(each, id, name)), None)
    if found is None:
        said = f"id '{_said(id)}' and name '{_said(name)}'"
        raise QMPError(f"Snapshot with {said} does not exist on device '{device}'")
    store.delete(found)
    return shape.answer(machine.schema.by_name, _DELETE, found.to_qapi())


def _is_meant(snapshot: Snapshot, id: str | None, name: str | None) -> bool:
    return id in (None, snapshot.id) and name in (None, snapshot.name)


def _said(text: str | None) -> str:
    return "null" if text is None else text
