"""A machine in the test's own process, on the event loop of the machines."""

from __future__ import annotations

import asyncio
import os
import traceback

from qemu_sim.argv.parse import parse
from qemu_sim.argv.reading import Asked
from qemu_sim.argv.report import Report
from qemu_sim.front import Front
from qemu_sim.host import Host
from qemu_sim.machine.configuration import Configuration, StartError
from qemu_sim.testing.launch import STOP_TIMEOUT, StartFailed


class InProcess:
    """Runs one `Host`. Descriptors that its arguments name belong to it from then on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._life: asyncio.Task[int] | None = None
        self._complaints: list[str] = []

    @property
    def pid(self) -> int:
        """The test's own process."""
        return os.getpid()

    @property
    def was_killed(self) -> bool:
        """Never."""
        return False

    async def start(self, arguments: list[str]) -> None:
        """Return once it runs. Raises StartFailed with what it would have printed."""
        try:
            report = Report("qemu-sim")
            configuration = parse(arguments, report)
            _refuse_process_options(configuration)
            self._host = Host(Front(configuration, report.say))
        except (StartError, Asked) as error:
            raise _start_failed(error) from None
        try:
            await self._host.start()
        except BaseException as error:
            await self._host.close()
            if isinstance(error, StartError):
                raise _start_failed(error) from None
            raise
        self._life = asyncio.create_task(self._live(), name=f"machine {self._name}")

    async def wait(self) -> int:
        """Return the exit status."""
        assert self._life is not None
        return await asyncio.shield(self._life)

    async def stop(self) -> None:
        """Do what SIGTERM does to a process."""
        if self._life is None:
            return
        self._host.machine.shut_down("host-signal")
        done, _ = await asyncio.wait([self._life], timeout=STOP_TIMEOUT)
        if not done:
            self._complaints.append(f"did not end within {STOP_TIMEOUT:g} s")
            self._life.cancel()

    def check_mortal(self) -> None:
        """Refuse: SIGKILL would hit pytest."""
        raise RuntimeError(
            f"machine '{self._name}' runs inside the test's process and cannot be killed: "
            "use qemu_sim_mode 'daemon'"
        )

    def kill(self) -> None:
        """Refuse as well."""
        self.check_mortal()

    def printed(self) -> str:
        """Return nothing: its messages are those of the test's process."""
        return ""

    def complaints(self) -> list[str]:
        """Return a traceback for each bug."""
        bugs = self._host.machine.bugs if self._life is not None else []
        return self._complaints + ["".join(traceback.format_exception(bug)) for bug in bugs]

    async def _live(self) -> int:
        try:
            return await self._host.wait()
        finally:
            await self._host.close()


def _start_failed(error: Exception) -> StartFailed:
    return StartFailed("\n".join(str(text) for text in error.args))


def _refuse_process_options(configuration: Configuration) -> None:
    """Refuse what would change, or kill, the test's own process. Raises StartError."""
    faults = configuration.sim.get("fault", [])
    names = [text.partition("@")[0] for text in ([faults] if isinstance(faults, str) else faults)]
    given = {
        "-pidfile": configuration.pidfile,
        "-name process=": configuration.process_name,
        "-run-with exit-with-parent=": configuration.exit_with_parent,
        "-incoming cpr": configuration.incoming_cpr is not None,
        "-sim fault=die": "die" in names,
    }
    for option, value in given.items():
        if value:
            raise StartError(f"{option}: needs a process of its own: use qemu_sim_mode 'daemon'")
