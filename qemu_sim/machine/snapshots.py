"""Snapshots of a whole machine: its disks and, in the image of one of them, its state.

QEMU: migration/savevm.c (save_snapshot, load_snapshot, delete_snapshot)

Nothing of it takes any of the machine's time. As QEMU serves nobody meanwhile, one is
waited for before the next begins.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from qemu_sim.block import snapshot as snapshots
from qemu_sim.block.snapshot import MAX_NAME, SECOND, Snapshot
from qemu_sim.block.snapshot_set import SnapshotSet
from qemu_sim.errors import LoadError, QMPError
from qemu_sim.machine.blockers import blockers
from qemu_sim.migration import saved_state
from qemu_sim.migration.attempt import EXPECTED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qemu_sim.block.snapshot_set import Member
    from qemu_sim.machine.machine import Machine

_REASON_KEPT_SINCE = (11, 0, 0)  # the error says why; before, that is printed
_PASSES_TOLD_UNTIL = (11, 0, 0)
_MICROSECOND = 1000
_STORED_AS = {"restore-vm": "paused", "save-vm": "paused"}  # else no destination could take it
_log = logging.getLogger(__name__)


class StateNotLoaded(QMPError):
    """The state of the machine cannot be loaded; QEMU prints `printed` first."""

    def __init__(self, text: str, printed: Sequence[str]) -> None:
        super().__init__(text)
        self.printed = printed


class Snapshots:
    """Takes and restores snapshots of `machine`. Errors are QMPErrors in QEMU's words."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._turn = asyncio.Lock()

    def images(self, names: Sequence[str] | None = None) -> SnapshotSet:
        """Return the images of those names, or all."""
        board = self._machine.board
        if names is None:
            return SnapshotSet.of_all(board.graph, board.drives)
        return SnapshotSet.of_nodes(board.graph, board.drives, names)

    async def save(
        self,
        name: str | None,
        vm_state: str | None = None,
        devices: Sequence[str] | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        """Take a snapshot; the machine stops (STOP) for that, and goes on (RESUME)."""
        async with self._turn:
            images, holder = self._check_save(name, vm_state, devices, overwrite=overwrite)
            snapshot = self.new(name)
            machine = self._machine
            was_live, run_state = machine.execution.is_live, machine.state_name
            try:
                await machine.execution.stop("save-vm")
                self._save(images, holder, snapshot, run_state)
            finally:
                if was_live:
                    await machine.execution.start()

    async def load(
        self,
        name: str,
        vm_state: str | None = None,
        devices: Sequence[str] | None = None,
    ) -> None:
        """Go back to a snapshot; a machine that runs stops (STOP), and runs then (RESUME).

        On an error it stays stopped.
        """
        async with self._turn:
            was_live = self._machine.execution.is_live
            await self._machine.execution.stop("restore-vm")
            await self._load(name, vm_state, devices)
            if was_live:
                await self._machine.execution.start()

    async def load_at_start(self, name: str) -> None:
        """Go back to a snapshot before the machine has run."""
        async with self._turn:
            await self._load(name, None, None)

    async def delete(self, name: str, devices: Sequence[str] | None = None) -> None:
        """Forget a snapshot wherever it is."""
        async with self._turn:
            images = self.images(devices)
            images.check()
            images.delete(name)

    def new(self, name: str | None) -> Snapshot:
        """Return a snapshot of now, which is still to be taken."""
        machine = self._machine
        date = machine.clock.wall() // _MICROSECOND * _MICROSECOND
        if name is None:
            name = time.strftime("vm-%Y%m%d%H%M%S", time.localtime(date // SECOND))
        kept = name.encode("utf-8", "surrogateescape")[:MAX_NAME].decode("utf-8", "surrogateescape")
        return Snapshot(kept, date, machine.vm_clock.now())

    def _check_save(
        self,
        name: str | None,
        vm_state: str | None,
        devices: Sequence[str] | None,
        *,
        overwrite: bool,
    ) -> tuple[SnapshotSet, Member]:
        """Return the images, and which of them is to hold the machine's state."""
        self._check_capabilities()
        reasons = blockers(self._machine)
        if reasons:
            raise QMPError(reasons[-1])
        images = self.images(devices)
        images.check()
        if name is not None and overwrite:
            images.delete(name)
        elif name is not None and images.have(name):
            raise QMPError(f"Snapshot '{name}' already exists in one or more devices")
        return images, images.vm_state_member(vm_state)

    def _check_capabilities(self) -> None:
        capabilities = self._machine.capabilities
        if capabilities.enabled("multifd"):
            raise QMPError("Snapshots are not compatible with multifd")
        if capabilities.enabled("mapped-ram"):
            raise QMPError("snapshots with mapped-ram are not simulated by qemu-sim")

    def _save(
        self, images: SnapshotSet, holder: Member, snapshot: Snapshot, run_state: str
    ) -> None:
        machine = self._machine
        if machine.migration.is_sending:
            raise QMPError("There's a migration process in progress")
        migrating = machine.migrating
        migrating.migration_moved("setup")
        if machine.version < _PASSES_TOLD_UNTIL:
            migrating.migration_passed(1)
            migrating.migration_passed(2)
        size = saved_state.write(migrating, holder.store, _STORED_AS.get(run_state, run_state))
        migrating.migration_moved("completed")
        images.create(snapshot._replace(vm_state_size=size), holder)

    async def _load(self, name: str, vm_state: str | None, devices: Sequence[str] | None) -> None:
        self._check_capabilities()
        images = self.images(devices)
        images.check()
        if not images.have(name):
            raise QMPError(f"Snapshot '{name}' does not exist in one or more devices")
        holder = images.vm_state_member(vm_state)
        found = snapshots.find(holder.store, name)
        assert found is not None
        if not found.vm_state_size:
            raise QMPError("This is a disk-only snapshot. Revert to it  offline using qemu-img")
        if self._machine.migration.is_sending:
            raise QMPError("loading a snapshot during a migration is not simulated by qemu-sim")
        images.go_to(name)
        await self._load_state(holder, found)

    async def _load_state(self, holder: Member, found: Snapshot) -> None:
        machine = self._machine
        machine.execution.reset()
        for netdev in machine.board.netdevs.values():
            netdev.forget_rings()
        migrating = machine.migrating
        if not saved_state.leaves_ram(migrating):
            machine.memory.clear()
        try:
            run_state, asleep = await saved_state.read(
                migrating, holder.store, found.vm_state_size, machine.options.phase_timeout
            )
        except EXPECTED as error:
            raise self._not_loaded(error) from None
        machine.vm_clock.set(found.vm_clock)
        machine.execution.asleep = asleep or run_state == "suspended"

    def _not_loaded(self, error: Exception) -> StateNotLoaded:
        if not isinstance(error, LoadError):
            error = LoadError(str(error))
        keeps_reason = self._machine.version >= _REASON_KEPT_SINCE
        printed, text = error.told_of_snapshot(keeps_reason=keeps_reason)
        for line in printed:
            _log.error("%s", line)
        return StateNotLoaded(text, printed)
