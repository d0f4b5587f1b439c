"""A machine as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import site
import subprocess
import sys
from collections.abc import Sequence

import qemu_sim
from qemu_sim.fds import Fd
from qemu_sim.testing.launch import STOP_TIMEOUT

_PROGRAM = (sys.executable, "-m", "qemu_sim")
_TRACEBACK = "Traceback (most recent call last)"


class Daemon:
    """Runs `python -m qemu_sim`; its standard error goes to a file."""

    def __init__(self, name: str, directory: str, pass_fds: Sequence[int]) -> None:
        """`pass_fds` are inherited under their numbers and closed here: they are given away."""
        self._name = name
        self._log = os.path.join(directory, f"{name}.stderr")
        self._pass_fds = pass_fds
        self._complaints: list[str] = []

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def was_killed(self) -> bool:
        """Whether a signal has ended it."""
        return self._exited.done() and self._exited.result() < 0

    async def start(self, arguments: list[str]) -> None:
        """Return once the process is there; it may still refuse to go on."""
        loop = asyncio.get_running_loop()
        self._spawn(arguments)
        self._exited: asyncio.Future[int] = loop.create_future()
        self._pidfd = Fd(os.pidfd_open(self._process.pid))
        loop.add_reader(self._pidfd.fileno(), self._reap)

    async def wait(self) -> int:
        """Return the exit status, negative for a signal."""
        return await asyncio.shield(self._exited)

    async def stop(self) -> None:
        """Ask it to end, as a service manager would."""
        if not self._exited.done():
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self.wait()
        except TimeoutError:
            self._complaints.append(f"did not end within {STOP_TIMEOUT:g} s after SIGTERM")
            self.kill()
            await self.wait()

    def check_mortal(self) -> None:
        """A process can always be killed."""

    def kill(self) -> None:
        """Send SIGKILL."""
        if not self._exited.done():
            self._process.kill()

    def complaints(self) -> list[str]:
        """Return what it printed, if there is a traceback in it."""
        printed = self.printed()
        return self._complaints + ([printed] if _TRACEBACK in printed else [])

    def printed(self) -> str:
        """Return its standard error so far."""
        with open(self._log, errors="replace") as log:
            return log.read()

    def _spawn(self, arguments: list[str]) -> None:
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - what the test itself asks for
                # Whatever becomes of pytest, no machine outlives it.
                [*_PROGRAM, *arguments, "-run-with", "exit-with-parent=on"],
                stdin=subprocess.DEVNULL,
                stderr=log,
                pass_fds=self._pass_fds,
                process_group=0,  # Ctrl-C is for pytest, which then ends it in order
                env=_environment(),
            )
        for number in self._pass_fds:
            os.close(number)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd.fileno())
        self._pidfd.close()
        self._exited.set_result(self._process.wait())


def _environment() -> dict[str, str]:
    """Let the child find the package that this process uses, installed or not."""
    place = os.path.dirname(os.path.dirname(qemu_sim.__file__))
    if place in (*site.getsitepackages(), site.getusersitepackages()):
        return dict(os.environ)
    paths = [place, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
