"""What a machine has before there is an event loop: checked settings, and open monitors.

QEMU: system/vl.c (qemu_create_machine, qemu_create_early_backends)

As in QEMU a monitor is open before there are devices: a client is greeted, and its commands
wait until the machine is complete. Nothing here needs asyncio, nor loads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError
from qemu_sim.machine.configuration import Configuration, Given, MonitorSpec, StartError
from qemu_sim.machine.settings import machine_options
from qemu_sim.monitor.door import Door, backend_address, calls_again, open_door
from qemu_sim.monitor.session import new_session
from qemu_sim.qapi import extension
from qemu_sim.qapi import profile as profiles

if TYPE_CHECKING:
    from qemu_sim.machine.options import MachineOptions
    from qemu_sim.migration.predecessor import Predecessor
    from qemu_sim.monitor.wire_log import WireLog


def _nobody(_: MachineOptions) -> None:
    """The machine is this process's own from the start."""


class Front:
    """The outside of a machine that is about to be made. A `Host` takes its parts."""

    def __init__(
        self,
        configuration: Configuration,
        say: Callable[[str], None],
        meet: Callable[[MachineOptions], Predecessor | None] = _nobody,
    ) -> None:
        """Check the settings, then open what monitors need. Raises StartError.

        What does not end the start is said to `say`. In between, `meet` may wait for another
        process to leave its machine to this one.
        """
        self.configuration = configuration
        self.say = say
        try:
            self.sim = extension.sim_options(configuration.sim)
        except QMPError as error:
            raise StartError(f"-sim: {error}") from None
        try:
            self.options: MachineOptions = machine_options(configuration, self.sim, say)
        except QMPError as error:
            raise StartError(str(error)) from None
        self.predecessor = meet(self.options)
        self.wire_log = _open_log(self.sim.get("wire-log"))
        self.monitored = {spec.chardev: spec for spec in configuration.monitors}
        self.doors: dict[str, Door] = {}
        try:
            self._open_doors()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give back what no machine took."""
        for door in self.doors.values():
            door.close()
        if self.wire_log is not None:
            self.wire_log.close()
        if self.predecessor is not None:
            self.predecessor.close()

    def _open_doors(self) -> None:
        for given in self.configuration.chardevs:
            spec = self.monitored.get(given.values["id"])
            if spec is not None and given.values["backend"]["type"] == "socket":
                with given.blame():
                    self._open_door(spec, given)

    def _open_door(self, spec: MonitorSpec, given: Given) -> None:
        if calls_again(given.values["backend"]):
            return
        address, server = backend_address(given.values["backend"])
        door = open_door(address, server=server)
        if door is None:
            return
        self.doors[spec.chardev] = door
        if spec.mode == "control" and not door.listens:
            profile = profiles.load(self.options.profile)
            pretty, name = spec.pretty, spec.id or spec.chardev
            door.greet(new_session(profile, name, pretty=pretty, wire_log=self.wire_log))


def _open_log(path: str | None) -> WireLog | None:
    if path is None:
        return None
    from qemu_sim.monitor.wire_log import WireLog  # noqa: PLC0415 - few want one

    try:
        return WireLog(path)
    except OSError as error:
        raise StartError(f"-sim: wire-log={path}: {error.strerror}") from None
