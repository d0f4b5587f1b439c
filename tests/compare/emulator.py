"""Where a case is replayed: a machine in this process, or any emulator as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Protocol

from qemu_sim.testing.in_process import InProcess
from qemu_sim.testing.launch import StartFailed
from qemu_sim.testing.listening import is_listening

_PATIENCE = 20.0  # seconds to start, or to end
_TICK = 0.005  # neither the end of a process nor the table of sockets can be waited for


class Emulator(Protocol):
    """One emulator that has been started, or has tried to."""

    def ended(self) -> bool:
        """Whether it is gone."""

    def send_signal(self, number: int) -> None:
        """Send it a signal."""

    async def status(self, within: float = _PATIENCE) -> str:
        """Wait for its end, and return `rc=N`, or `rc=running` after so many seconds."""

    def printed(self) -> bytes:
        """Return its standard error."""

    async def stop(self) -> list[str]:
        """End it, and return what was wrong with it."""


class Inside:
    """A machine of qemu-sim on the event loop of the replay."""

    def __init__(self, failure: str, machine: InProcess) -> None:
        self._failure = failure
        self._machine = machine

    @classmethod
    async def start(cls, arguments: list[str]) -> Inside:
        """Return once it listens, or has refused to start."""
        machine = InProcess("replay")
        try:
            await machine.start(arguments)
        except StartFailed as error:
            return cls(str(error), machine)
        return cls("", machine)

    def ended(self) -> bool:
        """Whether it has not even started."""
        return bool(self._failure)

    def send_signal(self, number: int) -> None:
        """Refuse."""
        raise AssertionError("a case with signals needs a process")

    async def status(self, within: float = _PATIENCE) -> str:
        """Refuse."""
        raise AssertionError("a case with an exit status needs a process")

    def printed(self) -> bytes:
        """Return why it did not start."""
        return self._failure.encode()

    async def stop(self) -> list[str]:
        """End it; its bugs are what was wrong."""
        if self._failure:
            return []
        await self._machine.stop()
        return self._machine.complaints()


class Outside:
    """An emulator as a process."""

    def __init__(self, command: list[str], log: str, pass_fds: Sequence[int]) -> None:
        self._log = log
        # Not installed, but wherever this process has found the package.
        path = os.pathsep.join(filter(None, sys.path))
        with open(log, "wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=pass_fds,
                env={**os.environ, "PYTHONPATH": path},
            )

    def ended(self) -> bool:
        """Whether the process has exited."""
        return self._process.poll() is not None

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def status(self, within: float = _PATIENCE) -> str:
        """Wait for the exit status."""
        deadline = time.monotonic() + within
        while not self.ended():
            if time.monotonic() > deadline:
                return "rc=running"
            await asyncio.sleep(_TICK)
        return f"rc={self._process.returncode}"

    def printed(self) -> bytes:
        """Return its standard error so far."""
        with open(self._log, "rb") as log:
            return log.read()

    async def stop(self) -> list[str]:
        """Ask it to end. A traceback is a bug."""
        if not self.ended():
            self.send_signal(signal.SIGTERM)
        if await self.status() == "rc=running":
            self._process.kill()
            self._process.wait()
            return ["it does not end when asked"]
        printed = self.printed()
        return [printed.decode(errors="replace")] if b"Traceback" in printed else []


async def listening(emulator: Emulator, path: str) -> None:
    """Return when `path` can be connected to, or the emulator has ended."""
    async with asyncio.timeout(_PATIENCE):
        while not emulator.ended() and not is_listening(path):  # noqa: ASYNC110 - see _TICK
            await asyncio.sleep(_TICK)
