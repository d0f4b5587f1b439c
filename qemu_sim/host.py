"""One machine with its monitors, from a command line to the end of its process.

QEMU: system/vl.c (qemu_init, qemu_cleanup)

The parts are made in QEMU's order: objects, chardevs, netdevs, devices. Monitors are open
before (front.py), and answer when the machine is complete.
"""

from __future__ import annotations

import os
import stat
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError, QMPError
from qemu_sim.fds import Fd
from qemu_sim.hooks import check_passed
from qemu_sim.machine import unconnected
from qemu_sim.machine.configuration import Given, MonitorSpec, StartError
from qemu_sim.machine.machine import Machine
from qemu_sim.machine.monitor_object import MonitorObject
from qemu_sim.monitor.chardev import MonitorChardev
from qemu_sim.monitor.door import calls_again
from qemu_sim.monitor.monitors import Monitors

if TYPE_CHECKING:
    from qemu_sim.front import Front
    from qemu_sim.migration.predecessor import Predecessor
    from qemu_sim.qtest.front_end import FrontEnd

_NEWER = (9, 0, 0)  # than 7.2


class Host:
    """A machine and what connects it to the world. `start` it, `wait`, then `close` it."""

    def __init__(self, front: Front) -> None:
        """Make the machine that `front` belongs to. Raises StartError."""
        self._front = front
        self._configuration = front.configuration
        try:
            self.machine = Machine(front.options)
        except QMPError as error:
            raise StartError(str(error)) from None
        if front.wire_log is not None:
            self.machine.migration_trace = front.wire_log.migration
        self.monitors = Monitors(self.machine, front.wire_log)
        self.machine.board.plug_monitor = self.monitors.plug
        self._mqtt: Any = None
        self._qtest: FrontEnd | None = None

    async def start(self) -> None:
        """Make every part, open the monitors, and let the machine run. Raises StartError."""
        await self._open_qtest()
        await self._make_parts()
        self._arm()
        with self.monitors.waiting():
            for given in self._configuration.chardevs:
                if given.values["id"] in self._front.monitored:
                    await self._open_monitor(self._front.monitored[given.values["id"]], given)
            await self._plug_ports()
            if self._qtest is not None:
                self._qtest.serve()
            await self._start_mqtt()
            await self._await_incoming()
            await self._begin_with_snapshot()
            await self.machine.start()

    async def wait(self) -> int:
        """Return the exit status once the machine has ended."""
        return await self.machine.exited

    async def close(self) -> None:
        """Give everything back; clients get their last answers first."""
        await self.monitors.close()
        if self._qtest is not None:
            self._qtest.close()
        await self.machine.close()  # before a broker that may take its time
        if self._mqtt is not None:
            await self._mqtt.close()
        self._front.close()

    async def _make_parts(self) -> None:
        board, configuration = self.machine.board, self._configuration
        for given in configuration.add_fds:
            self._add_fd(**given.values)
        for given in configuration.objects:
            self._add_object(given)
        if self._front.predecessor is not None:
            self._succeed(self._front.predecessor)
        await self._add_drives()
        for given in configuration.chardevs:
            if given.values["id"] not in self._front.monitored:
                with given.blame():
                    await self._add_chardev(given)
        for given in configuration.netdevs:
            with given.blame():
                options = self._checked("netdev_add", given)
                fds = _inherited(options.get("fd") or options.get("fds"))
                await board.netdevs.add(options.pop("type"), options.pop("id"), options, fds)
        self._make_numa()
        for given in configuration.devices:
            with given.blame():
                options = dict(given.values)
                driver, id = options.pop("driver", None), options.pop("id", None)
                if driver is None:
                    raise QMPError("Parameter 'driver' is missing")
                await board.add_device(driver, id, options, typed=given.typed, hotplug=False)
        board.chardevs.tell_wait = partial(self._tell_wait, "")
        self._open_displays()
        self._warn()

    def _add_object(self, given: Given) -> None:
        with given.blame():
            options = self._checked("object-add", given)
        try:
            self.machine.board.add_object(options.pop("qom-type"), options.pop("id"), options)
        except QMPError as error:  # QEMU does not say which object it was
            raise StartError(str(error)) from None

    async def _add_drives(self) -> None:
        """Open all nodes, then those of -drive, which may not take their names."""
        board = self.machine.board
        for given in self._configuration.blockdevs:
            with given.blame():
                await board.graph.add(self._checked("blockdev-add", given))
        for number, given in enumerate(self._configuration.drives):
            with given.blame():
                await board.drives.define(given.values, f"none{number}")

    def _open_displays(self) -> None:
        for given in self._configuration.vncs:
            options = dict(given.values)
            with given.blame():
                self._check_audiodev(options.get("audiodev"))
                display = self.machine.displays.add(options.pop("id"), options)
            if "to" in options:
                for server in display.servers:
                    sys.stdout.write(
                        f"VNC server running on {server['host']}:{server['service']}\n"
                    )
                sys.stdout.flush()

    def _check_audiodev(self, id: str | None) -> None:
        if id is not None and id not in self._configuration.audiodevs:
            word = "audiodev" if self.machine.profile.version >= _NEWER else "Audiodev"
            raise QMPError(f"{word} '{id}' not found")

    def _succeed(self, predecessor: Predecessor) -> None:
        """Have the RAM that another process had, and let it know when a source may come."""
        try:
            predecessor.give_ram(self.machine.memory)
        except (QMPError, MigrationError) as error:
            raise StartError(str(error)) from None
        self.machine.admission.listening = predecessor.close
        # No TAP comes this way: one that cannot be opened ends the start, before the source stops.
        self.machine.board.netdevs.opens_late = lambda netdev: netdev.TYPE != "tap"

    def _add_fd(self, fd: int, set: int, opaque: str | None = None) -> None:
        """Keep a duplicate, as QEMU does: one descriptor may be put in several sets."""
        self.machine.fdsets.add(Fd.duplicate(fd), set, opaque)
        os.set_inheritable(fd, False)

    def _tell_wait(self, place: str, name: str) -> None:
        self._front.say(f"{place}info: QEMU waiting for connection on: {name}")

    def _warn(self) -> None:
        for text in unconnected.warnings(self.machine.board):
            self._front.say(f"warning: {text}")
        self._warn_of_globals()

    def _warn_of_globals(self) -> None:
        options = self.machine.options
        if not options.globals:
            return
        from qemu_sim.machine.global_properties import GlobalProperties  # noqa: PLC0415 - few do

        defaults = GlobalProperties(self.machine.profile, options.globals, options.added_dialect)
        for text in defaults.unused(self._types):
            self._front.say(f"warning: {text}")

    def _types(self) -> set[str]:
        from qemu_sim.machine.qom import ObjectTree  # noqa: PLC0415 - few command lines ask

        return ObjectTree(self.machine).types()

    async def _add_chardev(self, given: Given) -> None:
        backend = given.values["backend"]
        options = backend.get("data", {})
        address = options.get("addr", {})
        fds = _inherited_socket(address["data"]["str"]) if address.get("type") == "fd" else []
        chardevs, id = self.machine.board.chardevs, given.values["id"]
        chardevs.tell_wait = partial(self._tell_wait, f"{given.source}: ")
        chardev = await chardevs.add(backend["type"], id, options, fds)
        if "pty" in chardev.details:
            sys.stdout.write(f"char device redirected to {chardev.details['pty']} (label {id})\n")
            sys.stdout.flush()

    async def _open_monitor(self, spec: MonitorSpec, given: Given) -> None:
        shown = self._shown(spec)
        if calls_again(given.values["backend"]):
            with given.blame():
                await self._add_chardev(given)
                options = {"chardev": spec.chardev, "pretty": spec.pretty}
                self.monitors.plug(shown.qom_type, shown.id, options)
            return
        human = spec.mode == "readline"
        monitor = self.monitors.add(shown.id, pretty=spec.pretty, human=human)
        id, backend = given.values["id"], given.values["backend"]
        chardevs = self.machine.board.chardevs
        with given.blame():
            chardev = MonitorChardev(id, backend, monitor, self._front.doors.get(id))
            chardev.tell_wait = partial(self._tell_wait, f"{given.source}: ")
            for base in chardev.find_bases(chardevs):
                chardevs.use(base, id)
            await chardev.open()
        self.machine.board.add_monitor(shown, chardev)

    async def _plug_ports(self) -> None:
        chardevs, configuration = self.machine.board.chardevs, self._configuration
        try:
            for id in filter(None, configuration.serials):
                await chardevs.plug_serial(chardevs[id])
            for id in filter(None, configuration.parallels):
                chardevs.plug_parallel(chardevs[id])
        except QMPError as error:
            raise StartError(str(error)) from None

    def _shown(self, spec: MonitorSpec) -> MonitorObject:
        """Return the object of a monitor; one without an ID gets the next number."""
        taken = {each.id for each in self.machine.board.monitors}
        numbered = (f"compat_monitor{number}" for number in range(len(taken) + 1))
        id = spec.id or next(name for name in numbered if name not in taken)
        return MonitorObject(id, spec.chardev, spec.mode, {"pretty": spec.pretty})

    def _checked(self, command: str, given: Given) -> dict[str, Any]:
        schema = self.machine.schema
        if given.typed:
            return schema.check_arguments(command, given.values)
        return schema.check_keyval(command, given.values)

    def _make_numa(self) -> None:
        """Describe the NUMA nodes; unless a client may still do so, they and RAM are complete."""
        for given in self._configuration.numa:
            with given.blame():
                self.machine.numa.apply(self._checked("set-numa-node", given))
        if self.machine.is_initialized:
            self._check_memory()

    def _check_memory(self) -> None:
        try:
            self.machine.complete_numa()
            _ = self.machine.memory
        except QMPError as error:
            raise StartError(str(error)) from None

    def _arm(self) -> None:
        try:
            incoming = self.machine.options.incoming
            for point in self._front.sim.get("hold", ()):
                check_passed(point, incoming=incoming)
                self.machine.hooks.hold(point)
            for text in self._front.sim.get("fault", ()):
                from qemu_sim import faults  # noqa: PLC0415 - only tests need one

                faults.arm_text(self.machine.hooks, text, incoming=incoming)
        except QMPError as error:
            raise StartError(f"-sim: {error}") from None

    async def _open_qtest(self) -> None:
        text, log = self._configuration.qtest, self._configuration.qtest_log
        if text is not None:
            from qemu_sim.qtest.front_end import FrontEnd  # noqa: PLC0415 - only tests need it

            self._qtest = FrontEnd(self.machine, clocked=self._configuration.uses_qtest)
            await self._qtest.open(text, log)

    async def _start_mqtt(self) -> None:
        url = self._front.sim.get("mqtt")
        if url is not None:
            from qemu_sim.mqtt import Publisher  # noqa: PLC0415  (aiomqtt is slow to import)

            self._mqtt = Publisher(url, self.machine)
            self._mqtt.start()

    async def _begin_with_snapshot(self) -> None:
        name = self.machine.options.loadvm
        if name is None or not self.machine.is_initialized:
            return
        try:
            await self.machine.snapshots.load_at_start(name)
        except QMPError as error:
            raise StartError(str(error)) from None

    async def _await_incoming(self) -> None:
        given = self._configuration.incoming
        if given is None or "defer" in given.values:
            return
        with given.blame():
            channels = [given.values["channel"]] if "channel" in given.values else None
            uri = given.values.get("uri")
            await self.machine.admission.listen(uri, channels, None, exit_on_error=True)


def _inherited(numbers: str | None) -> list[Fd]:
    """Own the descriptors this process was started with, named by number."""
    fds = []
    for text in numbers.split(":") if numbers else ():
        if not text.isdigit():
            raise QMPError(f"File descriptor named '{text}' has not been found")
        try:
            os.set_inheritable(int(text), False)
        except OSError:
            raise QMPError(f"fd '{text}' is not open") from None
        fds.append(Fd(int(text)))
    return fds


def _inherited_socket(number: str) -> list[Fd]:
    """Own the socket of that number. Raises QMPError in QEMU's words for anything else."""
    try:
        is_socket = not number.isdigit() or stat.S_ISSOCK(os.fstat(int(number)).st_mode)
    except OSError:
        is_socket = False
    if not is_socket:
        raise QMPError(f"File descriptor '{number}' is not a socket")
    return _inherited(number)
