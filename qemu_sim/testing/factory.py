"""Makes the machines of one test, and ends them with it."""
# ruff: noqa: ASYNC109 - the blocking twins of these functions have a timeout, too

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence

from qemu_sim.testing.async_machine import TIMEOUT, AsyncMachine
from qemu_sim.testing.census import Census
from qemu_sim.testing.daemon import Daemon
from qemu_sim.testing.disk_server import DiskServer
from qemu_sim.testing.in_process import InProcess
from qemu_sim.testing.launch import Launch
from qemu_sim.testing.loop_thread import LoopThread
from qemu_sim.testing.machine import SimMachine

MODES = ("in-process", "daemon")
_LONGEST_DIRECTORY = 80  # leaves 27 of the 107 bytes of a socket path for names
__tracebackhide__ = True  # pytest: a failed test shows its own lines


class MachineFactory:
    """Call it with a QEMU command line (without the program) for a running machine."""

    def __init__(self, directory: str, mode: str) -> None:
        """`directory` is for sockets and logs; a short one replaces it if it is too long."""
        if mode not in MODES:
            raise ValueError(f"qemu_sim_mode is one of {', '.join(MODES)}, not '{mode}'")
        self._census = Census.take()
        self._mode = mode
        self._temporary = len(os.fsencode(directory)) > _LONGEST_DIRECTORY
        self.directory = tempfile.mkdtemp(prefix="qemu-sim-") if self._temporary else directory
        self._thread = LoopThread()
        self._machines: list[SimMachine] = []
        self._disks: list[DiskServer] = []

    def __call__(
        self,
        *argv: str,
        name: str | None = None,
        mode: str | None = None,
        pass_fds: Sequence[int] = (),
        timeout: float = TIMEOUT,
    ) -> SimMachine:
        """Start a machine. Raises StartFailed. It stays in the foreground: no -daemonize.

        `pass_fds` are descriptors that `argv` names by number. They belong to the machine
        from then on: a daemon inherits them and they are closed here.
        """
        made, machine = self._make(argv, name, mode, pass_fds)
        self._thread.call(machine.start(argv, timeout), 2 * timeout)
        return made

    async def aio(
        self,
        *argv: str,
        name: str | None = None,
        mode: str | None = None,
        pass_fds: Sequence[int] = (),
        timeout: float = TIMEOUT,
    ) -> SimMachine:
        """Do the same without blocking the caller's event loop, which may serve the machine."""
        made, machine = self._make(argv, name, mode, pass_fds)
        await self._thread.wait(machine.start(argv, timeout))
        return made

    def make_disk(self, name: str | None = None, *, size: int = 64 << 20) -> DiskServer:
        """Serve a new, empty disk of `size` bytes over vhost-user."""
        disk = DiskServer(self._thread, self.directory, name or f"disk{len(self._disks)}", size)
        self._disks.append(disk)
        return disk

    def close(self) -> list[str]:
        """End all machines, the last one first; returns what was wrong or left behind."""
        ends: list[Callable[[], list[str]]] = [made.close for made in reversed(self._machines)]
        ends += [disk.close for disk in self._disks]
        complaints = []
        for end in (*ends, self._thread.close):
            try:
                complaints += end()
            except TimeoutError as error:  # the others still have to be ended
                complaints.append(str(error))
        if self._temporary:
            shutil.rmtree(self.directory)
        return complaints + self._census.complaints()

    def _make(
        self, argv: Sequence[str], name: str | None, mode: str | None, pass_fds: Sequence[int]
    ) -> tuple[SimMachine, AsyncMachine]:
        if "-daemonize" in argv:
            raise ValueError("-daemonize: the fixture would lose the process it has to end")
        name = name or f"vm{len(self._machines)}"
        if any(machine.name == name for machine in self._machines):
            raise ValueError(f"this test has a machine '{name}' already")
        launch: Launch
        if (mode or self._mode) == "daemon":
            launch = Daemon(name, self.directory, pass_fds)
        else:
            launch = InProcess(name)
        machine = AsyncMachine(name, self.directory, launch)
        made = SimMachine(self._thread, machine)
        self._machines.append(made)
        return made, machine
