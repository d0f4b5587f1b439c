"""A machine as seen from the event loop that it shares with its fellows.

SimMachine and AwaitableMachine are this, for plain tests and for coroutines.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from qemu_sim.io.channel import Channel
from qemu_sim.testing.client import Client, MachineEnded, QMPError
from qemu_sim.testing.launch import Launch, StartFailed
from qemu_sim.testing.migration import Migration
from qemu_sim.testing.traps import ENDED, Traps

if TYPE_CHECKING:
    from qemu_sim.testing.reports import MigrationReport

TIMEOUT = 10.0  # seconds, for an answer
MIGRATION_TIMEOUT = 30.0  # seconds
_CONTROL = "qemu-sim-control"
_EXIT_ON_ERROR_SINCE = (9, 1)  # QEMU: qapi/migration.json, migrate-incoming


class GuestLoad(TypedDict, total=False):
    """What the guest does with its RAM; what is not given stays as it is."""

    dirty_rate: int
    """Bytes a second that it writes."""
    ram_used: int
    """Bytes that are not zero."""
    migration_polls: int
    """How many query-migrate the next migration takes, instead of time."""


class AsyncMachine:
    """One machine and the monitor that the test has for itself.

    The user's own clients have another one, at `qmp_path`.
    """

    def __init__(self, name: str, directory: str, launch: Launch) -> None:
        self.name = name
        self.launch = launch
        self.qmp_path = os.path.join(directory, f"{name}.qmp")
        self._control_path = os.path.join(directory, f"{name}.ctl")
        self._migration_path = os.path.join(directory, f"{name}.mig")
        self.client: Client | None = None
        self._traps: Traps | None = None

    async def start(self, arguments: Sequence[str], within: float) -> None:
        """Start it; it answers when this returns. Raises StartFailed."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.setblocking(False)
            listener.bind(self._control_path)
            listener.listen(1)
            try:
                await self.launch.start(self._arguments(arguments))
                channel = Channel(await self._accept(listener, within))
            finally:
                os.unlink(self._control_path)
        self.client = Client(channel, self.name)
        self._traps = Traps(self, self.client)
        try:
            await self.client.negotiate(within)
        except MachineEnded:
            await self.wait(within)
            raise StartFailed(self.launch.printed()) from None

    async def execute(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        fds: Sequence[int] = (),
        oob: bool = False,
        within: float = TIMEOUT,
    ) -> Any:
        """Run one command."""
        if command == "x-sim-inject-fault" and (arguments or {}).get("fault") == "die":
            self.launch.check_mortal()
        return await self._client.execute(command, arguments or {}, fds=fds, oob=oob, within=within)

    async def set_guest(self, **load: Unpack[GuestLoad]) -> None:
        """Set what the guest does with its RAM; a migration under way feels it at once."""
        await self.execute("x-sim-set-guest", qmp_names(load))

    async def advance(self, seconds: float, within: float) -> None:
        """Let time pass on a manual clock, with all that happens in it."""
        milliseconds = round(seconds * 1000)
        await self.execute("x-sim-clock-advance", {"ms": milliseconds}, within=within)

    async def wait_event(self, name: str, data: Mapping[str, Any], within: float) -> Any:
        """Return the first such event that was not returned before."""
        return await self._client.wait_event(name, data, within)

    async def wait(self, within: float) -> int:
        """Return the exit status once it has ended by itself."""
        try:
            async with asyncio.timeout(within):
                return await self.launch.wait()
        except TimeoutError:
            text = f"machine '{self.name}' did not end by itself within {within:g} s"
            raise TimeoutError(text) from None

    async def listen(self) -> str:
        """Wait for a source, if that is not done yet; returns the URI.

        Started with -incoming defer. Its failure does not end it where QEMU has a choice.
        """
        addresses = (await self.execute("query-migrate")).get("socket-address")
        if addresses:
            return f"unix:{addresses[0]['path']}"
        uri = f"unix:{self._migration_path}"
        await self._enable_events()
        arguments: dict[str, Any] = {"uri": uri}
        version = self._client.greeting["version"]["qemu"]
        if (version["major"], version["minor"]) >= _EXIT_ON_ERROR_SINCE:
            arguments["exit-on-error"] = False
        try:
            await self.execute("migrate-incoming", arguments)
        except QMPError as error:
            said = f"machine '{self.name}' cannot wait for a source: {error.desc}"
            raise QMPError(error.class_, said) from None
        return uri

    async def start_migration(
        self, other: AsyncMachine, *, backend_transfer: bool, devices: Sequence[str] | None
    ) -> Migration:
        """Begin to migrate to `other`, which listens."""
        arguments: dict[str, Any] = {"uri": await other.listen()}
        await self._enable_events()
        if backend_transfer:
            arguments["backend-transfer"] = True
        if devices is not None:
            arguments["backend-transfer-devices"] = list(devices)
        migration = Migration(self, other)
        await self.execute("migrate", arguments)
        return migration

    async def migration_ended(self, since: int, within: float) -> None:
        """Wait for the end of the migration whose events come from position `since` on."""

        def wanted(position: int, event: dict[str, Any]) -> bool:
            ended = event["event"] == "MIGRATION" and event["data"]["status"] in ENDED
            return ended and position >= since

        await self._client.find_event(wanted, "MIGRATION (an end)", within)

    async def query_migrate(self) -> MigrationReport:
        """Return status and what became of each backend."""
        from qemu_sim.testing.reports import MigrationReport  # noqa: PLC0415 - pydantic is slow

        return MigrationReport.model_validate(await self.execute("query-migrate"))

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events so far, oldest first."""
        return list(self._client.events)

    @property
    def traps(self) -> Traps:
        """What is to befall its migrations."""
        assert self._traps is not None, "started"
        return self._traps

    async def close(self) -> list[str]:
        """End it; returns a text for each thing that was wrong with it."""
        unsprung: list[str] = []
        if self.client is not None:
            await self.launch.stop()
            unsprung = list(self.traps.unsprung(killed=self.launch.was_killed))
            self.client.close()
        return self.launch.complaints() + unsprung + self._sockets_left()

    @property
    def _client(self) -> Client:
        assert self.client is not None, "started"
        return self.client

    def _arguments(self, given: Sequence[str]) -> list[str]:
        control, qmp = (path.replace(",", ",,") for path in (self._control_path, self.qmp_path))
        return [
            *("-name", f"guest={self.name}", *given),
            *("-qmp", f"unix:{qmp},server=on,wait=off"),
            *("-chardev", f"socket,id={_CONTROL},path={control}", "-qmp", f"chardev:{_CONTROL}"),
        ]

    def _sockets_left(self) -> list[str]:
        """Remove its sockets; returns a line for each, unless a signal left no time for that."""
        left = [path for path in (self.qmp_path, self._migration_path) if os.path.exists(path)]
        for path in left:
            os.unlink(path)
        return [] if self.launch.was_killed else [f"socket left behind: {path}" for path in left]

    async def _accept(self, listener: socket.socket, within: float) -> socket.socket:
        """Return the machine's connection, or raise StartFailed with its last words."""
        loop = asyncio.get_running_loop()
        accepting = loop.create_task(loop.sock_accept(listener))
        ending = loop.create_task(self.launch.wait())
        done, waiting = await asyncio.wait(
            (accepting, ending), timeout=within, return_when=asyncio.FIRST_COMPLETED
        )
        for task in waiting:
            task.cancel()
        if accepting in done:
            return accepting.result()[0]
        if not ending.done():
            await self.launch.stop()
        raise StartFailed(self.launch.printed() or f"not reached within {within:g} s")

    async def _enable_events(self) -> None:
        wanted = {"capability": "events", "state": True}
        if wanted not in await self.execute("query-migrate-capabilities"):
            await self.execute("migrate-set-capabilities", {"capabilities": [wanted]})


def qmp_names(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Turn Python's names into QMP's."""
    return {name.replace("_", "-"): value for name, value in keywords.items()}
