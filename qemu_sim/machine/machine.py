"""One machine: run state, events, parts and migration in one value.

QEMU: system/vl.c, system/runstate.c

Commands call it, monitors and MQTT listen to its events. It needs a running event loop
and no thread; an idle machine has no task and no timer. `bugs` collects exceptions that
nobody foresaw, so that a test can fail on them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING

from qemu_sim import clock as clocks
from qemu_sim.errors import QMPError
from qemu_sim.hooks import Hooks
from qemu_sim.machine.announcements import Announcements
from qemu_sim.machine.board import Board
from qemu_sim.machine.buses import Buses
from qemu_sim.machine.cpus import CPUs
from qemu_sim.machine.dirty_rate import DirtyRate
from qemu_sim.machine.events import Events
from qemu_sim.machine.execution import Execution
from qemu_sim.machine.fdsets import FdSets
from qemu_sim.machine.jobs import Jobs
from qemu_sim.machine.power import Power, firmware_resets
from qemu_sim.machine.runstate import RunState
from qemu_sim.machine.unplugging import Unplugging
from qemu_sim.machine.vm_clock import VMClock
from qemu_sim.machine.wiring import Wiring
from qemu_sim.migration.guest_load import GuestLoad
from qemu_sim.qapi import profile as profiles

if TYPE_CHECKING:
    from qemu_sim.block.exports import Exports
    from qemu_sim.machine.admission import Admission
    from qemu_sim.machine.core_dump import CoreDump
    from qemu_sim.machine.displays import Displays
    from qemu_sim.machine.migrating import MigratingMachine
    from qemu_sim.machine.migration_settings import MigrationSettings
    from qemu_sim.machine.numa import Numa
    from qemu_sim.machine.options import MachineOptions
    from qemu_sim.machine.snapshots import Snapshots
    from qemu_sim.migration.capabilities import Capabilities
    from qemu_sim.migration.dialects.dialect import Dialect
    from qemu_sim.migration.migration import Migration
    from qemu_sim.migration.parameters import Parameters
    from qemu_sim.migration.stream import Trace
    from qemu_sim.qapi.schema import Schema
    from qemu_sim.virtio.memory import GuestMemory

Become = Callable[[list[str]], Awaitable[None]]

_log = logging.getLogger(__name__)


class Machine:
    """A machine that stands where QEMU's would. Make it, fill `board`, then `start` it."""

    def __init__(self, options: MachineOptions) -> None:
        """Nothing of the host is taken yet."""
        self.options = options
        self.profile = profiles.load(options.profile)
        self.machine_type = self.profile.resolve_machine(options.machine_type)
        self.clock = clocks.make(options.clock)
        self.events = Events(self.clock)
        self.run_state = RunState("inmigrate" if options.incoming else "prelaunch")
        wiring = Wiring(self)
        self.board = Board(options, Buses(self.machine_type), wiring.check_properties, self.profile)
        self.execution = Execution(self.run_state, self.events, self.board.devices)
        self.run_state.watch(self._tell_migration)
        self.vm_clock = VMClock(self.clock, self.run_state)
        self.jobs = Jobs(self.events.emit, self.bug, self.clock)
        self.fdsets = FdSets()
        self.hooks = Hooks(self.events.emit, self.clock)
        self.guest_load = GuestLoad(options.dirty_rate, options.ram_used, options.migration_polls)
        resets = firmware_resets(self.machine_type, self.profile.version)
        self.power = Power(self, options.actions, resets, self.clock)
        self.unplugging = Unplugging(self.board, self.events)
        self.execution.resumed = self._resumed
        self.execution.woken_up = self.power.woken_up
        self.cpus = CPUs(options, self.board.devices)
        self.dirty_rate = DirtyRate(wiring.sampled_memory, self.clock, wiring.said_to_dirty)
        self.announcements = Announcements(wiring.announce, self.clock)
        wiring.connect()
        self.is_initialized = not options.preconfig
        self.autostart = not options.start_paused  # what `stop` and `cont` say beforehand
        self.bugs: list[BaseException] = []
        self.migration_trace: Trace | None = None
        self.become: Become | None = None
        """Makes another program of a process that is all this machine's."""
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @cached_property
    def schema(self) -> Schema:
        """The QMP schema: the profile's, with our extension unless that is off."""
        profile, options = self.profile, self.options
        dialect = options.added_dialect
        schema = profile.extended_schema(dialect) if dialect else profile.schema
        return schema.rejecting(options.rejected)

    @cached_property
    def displays(self) -> Displays:
        """The VNC displays."""
        from qemu_sim.machine.displays import Displays  # noqa: PLC0415 - few machines have one

        return Displays(self)

    @cached_property
    def numa(self) -> Numa:
        """The NUMA nodes that a client describes."""
        from qemu_sim.machine.numa import Numa  # noqa: PLC0415 - few machines have some

        return Numa(self)

    @property
    def has_numa(self) -> bool:
        """Whether a client has described any."""
        return "numa" in vars(self) and bool(self.numa.nodes)

    @property
    def node_count(self) -> int:
        """How many NUMA nodes there are; QEMU makes one by itself for memory to be plugged."""
        return len(self.numa.nodes) if self.has_numa else int(self.cpus.has_implicit_node)

    def complete_numa(self) -> None:
        """Check the nodes, if there are any, and take RAM from theirs. Raises QMPError."""
        if self.has_numa:
            self.numa.complete()
            self.board.ram.backends = self.numa.backends

    @cached_property
    def migration(self) -> Migration:
        """The migration from here or to here, or none yet."""
        from qemu_sim.migration.migration import Migration  # noqa: PLC0415 - not at a start

        return Migration(
            self.migrating,
            phase_timeout=self.options.phase_timeout,
            statuses=self._statuses,
        )

    @cached_property
    def migrating(self) -> MigratingMachine:
        """The machine as its migration sees it."""
        from qemu_sim.machine.migrating import MigratingMachine  # noqa: PLC0415 - not at a start

        return MigratingMachine(self)

    @cached_property
    def admission(self) -> Admission:
        """Whether the machine may migrate, or wait for another."""
        from qemu_sim.machine.admission import Admission  # noqa: PLC0415 - not at a start

        return Admission(self)

    @cached_property
    def exports(self) -> Exports:
        """The block nodes that clients elsewhere see."""
        from qemu_sim.block.exports import Exports  # noqa: PLC0415 - few machines have some

        return Exports(self.board.graph, self.events.emit, self.bug, self.version)

    @cached_property
    def core_dump(self) -> CoreDump:
        """The last dump of guest memory."""
        from qemu_sim.machine.core_dump import CoreDump  # noqa: PLC0415 - few are ever dumped

        return CoreDump(self)

    @cached_property
    def snapshots(self) -> Snapshots:
        """The snapshots of this machine in its images."""
        from qemu_sim.machine.snapshots import Snapshots  # noqa: PLC0415 - few have any

        return Snapshots(self)

    @property
    def capabilities(self) -> Capabilities:
        """Migration capabilities."""
        return self._settings.capabilities

    @property
    def parameters(self) -> Parameters:
        """Migration parameters."""
        return self._settings.parameters

    @property
    def migration_mode(self) -> str:
        """The migration parameter `mode`; an older QEMU has only one."""
        return self.parameters.get("mode") or "normal"

    @property
    def dialect(self) -> Dialect:
        """How a backend transfer is asked for."""
        return self._settings.dialect

    # The machine's life.

    async def start(self) -> None:
        """Run, unless started paused, waiting for a migration, or told to wait before that."""
        if self.is_initialized and self.autostart and not self.options.incoming:
            await self.execution.start()

    async def initialize(self) -> None:
        """End the phase of --preconfig, and start."""
        if self.is_initialized:
            raise QMPError("The command is permitted only before machine initialization")
        try:
            self.complete_numa()
            _ = self.memory
            if self.options.loadvm is not None:
                await self.snapshots.load_at_start(self.options.loadvm)
        except QMPError as error:
            _log.error("%s", error)
            self.exit(1)
            return
        self.is_initialized = True
        await self.start()

    def check_initialized(self, command: str) -> None:
        """Raise QMPError in QEMU's words if `command` may not run before `initialize`."""
        if self.is_initialized or command in self.profile.preconfig_commands:
            return
        raise QMPError(
            f"The command '{command}' is permitted only after machine initialization has completed"
        )

    async def cont(self) -> None:
        """Start the guest (RESUME). Raises QMPError in QEMU's words."""
        reclaimed = await self.migration.reclaim()
        if self.run_state.value == "postmigrate" and not reclaimed:
            self.admission.refuse_given_away()
        if self.run_state.value == "inmigrate":
            self.autostart = True
        if self.execution.may_start():
            self.board.activate_images(active=True)
        await self.execution.start()

    async def stop(self) -> None:
        """Stop the guest (STOP), or have one that is to come here by a migration stay so."""
        if self.run_state.value == "inmigrate":
            self.autostart = False
        was_running = self.is_running
        await self.execution.stop()
        if was_running:
            self.jobs.drain()

    def wake_up(self) -> None:
        """Wake a guest that sleeps: its firmware starts it anew (WAKEUP). Raises QMPError."""
        if not self.machine_type.startswith("pc-"):
            raise QMPError("wake-up from suspend is not supported by this guest")
        self.execution.wake_up()

    def forget_run(self) -> None:
        """Have a stopped guest start from the beginning, unless another process runs it."""
        self.unplugging.reset()
        state = self.run_state.value
        plan = self.migration.plan if state == "postmigrate" else None
        if plan is not None and plan.is_elsewhere:
            return
        if state not in ("inmigrate", "finish-migrate"):
            self.run_state.move("prelaunch")

    def shut_down(self, reason: str) -> None:
        """End the process in order (SHUTDOWN)."""
        if not self.exited.done():
            self.events.emit("SHUTDOWN", {"guest": False, "reason": reason})
            self.exit(0)

    def exit(self, status: int) -> None:
        """End the process with `status`."""
        if not self.exited.done():
            self.exited.set_result(status)

    def bug(self, error: Exception) -> str:
        """Record an exception that nobody foresaw; returns a text that says whose fault it is."""
        _log.error("bug in qemu-sim", exc_info=error)
        self.bugs.append(error)
        return f"bug in qemu-sim: {error!r}"

    async def close(self) -> None:
        """Give back everything the machine holds."""
        if "migration" in vars(self):
            await self.migration.close()
        if "core_dump" in vars(self):
            self.core_dump.close()
        if "displays" in vars(self):
            self.displays.close()
        self.jobs.close()
        if "exports" in vars(self):
            self.exports.close()
        self.board.close()
        self.cpus.close()
        self.power.close()
        self.dirty_rate.close()
        self.announcements.close()
        self.fdsets.close()

    def delete_device(self, name: str) -> None:
        """Unplug a device, as soon as the guest gives it back. Raises QMPError in QEMU's words."""
        self.unplugging.request(name, guest_runs=self.is_running)

    # What parts ask for.

    @property
    def version(self) -> tuple[int, int, int]:
        """The QEMU version."""
        return self.profile.version

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""
        return self.board.memory

    @property
    def is_running(self) -> bool:
        """Whether the guest runs."""
        return self.run_state.running

    @property
    def throttle(self) -> int:
        """How much of its time a migration takes from the guest, in percent."""
        return self.migration.throttle if "migration" in vars(self) else 0

    @property
    def state_name(self) -> str:
        """The run state by its QAPI name."""
        return self.run_state.value

    @property
    def transfer_by_default(self) -> bool:
        """What `backend-transfer=auto` means for this machine type."""
        return self._settings.transfer_by_default

    def _resumed(self) -> None:
        self.power.resumed()
        self.unplugging.answer()

    def _tell_migration(self) -> None:
        """Let a migration, if there ever was one, know that the guest has started or stopped."""
        if "migration" in vars(self):
            self.migration.change()

    @cached_property
    def _settings(self) -> MigrationSettings:
        from qemu_sim.machine.migration_settings import (  # noqa: PLC0415 - not at a start
            MigrationSettings,
        )

        return MigrationSettings(self)

    def _statuses(self) -> frozenset[str]:
        return self.profile.migration_statuses
