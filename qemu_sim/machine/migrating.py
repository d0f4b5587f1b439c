"""A machine as its migration sees it, on either side.

QEMU: migration/migration.c (migration_completion, process_incoming_migration_bh)
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError, QMPError
from qemu_sim.machine.nics import nics
from qemu_sim.machine.runstate import LIVE
from qemu_sim.migration.status import AT_REST

if TYPE_CHECKING:
    from collections.abc import Collection

    from qemu_sim.devices.device import Device
    from qemu_sim.machine.machine import Machine
    from qemu_sim.virtio.memory import GuestMemory

_log = logging.getLogger(__name__)


class MigratingMachine:
    """What `migration.side.Migratable` asks for, done to `machine`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._board = machine.board
        self.machine_type = machine.machine_type
        self.uuid = machine.options.uuid
        self.version = machine.version
        self.cpu_count = machine.options.topology.cpus
        self.capabilities = machine.capabilities
        self.parameters = machine.parameters
        self.dialect = machine.dialect
        self.transfer_by_default = machine.transfer_by_default
        self.clock = machine.clock
        self.hooks = machine.hooks
        self.guest_load = machine.guest_load
        self.cont = machine.cont
        self.exit = machine.exit
        self.bug = machine.bug

    @property
    def migration_mode(self) -> str:
        """The migration parameter `mode`; an older QEMU has only one."""
        return self._machine.migration_mode

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""
        return self._board.memory

    @property
    def devices(self) -> list[Device]:
        """All devices that migrate, in order."""
        return [each for each in self._board.devices if not self._stays_behind(each)]

    @property
    def state_name(self) -> str:
        """The run state by its QAPI name."""
        return self._machine.state_name

    @property
    def asleep(self) -> bool:
        """Whether a guest that is stopped slept before."""
        return self._machine.execution.asleep

    @property
    def is_running(self) -> bool:
        """Whether the guest runs."""
        return self._machine.is_running

    # The source.

    def request_unplug(self) -> bool:
        """Ask the guest to give back what stays behind; whether there is anything."""
        return self._board.has_failover and self._board.failover.request_unplug()

    async def unplug(self) -> None:
        """Wait until the guest has given back what stays behind."""
        await self._board.failover.unplug()

    def plug_again(self) -> None:
        """Give the guest again what was to stay behind."""
        if self._board.has_failover:
            self._board.failover.plug_again()

    def stop_for_migration(self) -> None:
        """Halt the guest; the run state becomes finish-migrate."""
        self._machine.execution.halt("finish-migrate")

    def leave_images(self) -> None:
        """Leave all images to the destination. Raises MigrationError."""
        try:
            self._board.activate_images(active=False)
        except QMPError:
            raise MigrationError("Block inactivate failed during switchover") from None

    def resume_after_failure(self, run_state: str) -> None:
        """Go back to the state before a migration stopped the guest, or stay stopped.

        It stays so where its images are another process's by now.
        """
        if self._take_images():
            self._machine.execution.go_back_to(run_state)

    async def run_next(self, command: list[str]) -> None:
        """Become another program, or raise MigrationError in QEMU's words."""
        assert self._machine.become is not None  # nobody is admitted without
        await self._machine.become(command)

    def finish_migration(self) -> None:
        """Become postmigrate: another process runs this machine."""
        self._machine.run_state.move("postmigrate")

    # The destination.

    def continue_as(self, run_state: str, *, asleep: bool) -> None:
        """Go on, as the destination, in the source's run state."""
        machine = self._machine
        self._board.stop_waiting()
        machine.execution.asleep = asleep or run_state == "suspended"
        waits = not machine.autostart and self.capabilities.enabled("late-block-activate")
        has_images = not waits and self._take_images()
        stays_paused = run_state in LIVE and not (machine.autostart and has_images)
        machine.execution.go_back_to("paused" if stays_paused else run_state)

    def _take_images(self) -> bool:
        """Take all images into use; whether no other process keeps any, which is logged."""
        try:
            self._board.activate_images(active=True)
        except QMPError as error:
            _log.error("%s", error.hinted)
            return False
        return True

    def announce_arrival(self, but: Collection[str]) -> None:
        """Let the NICs tell the network that they are here now, but those at the paths `but`."""
        if self._board.netdevs:
            names = [name for name, nic in nics(self._board).items() if nic.path not in but]
            self._machine.announcements.arrive(names, self.parameters)

    # Who listens.

    def trace_migration(self, direction: str, what: dict[str, Any], fds: int) -> None:
        """Tell `migration_trace`, if somebody set it, what passed on a migration channel."""
        if self._machine.migration_trace is not None:
            self._machine.migration_trace(direction, what, fds)

    def migration_moved(self, status: str) -> None:
        """Emit MIGRATION where a client asked for it."""
        if status in AT_REST:
            self.hooks.ended()
        self._emit("MIGRATION", {"status": status})

    def migration_passed(self, count: int) -> None:
        """Emit MIGRATION_PASS where a client asked for it."""
        self._emit("MIGRATION_PASS", {"pass": count})

    def _emit(self, event: str, data: dict[str, Any]) -> None:
        if self.capabilities.enabled("events"):
            self._machine.events.emit(event, data)

    def _stays_behind(self, device: Device) -> bool:
        return self._board.has_failover and self._board.failover.stays_behind(device)
