"""A machine for plain, blocking tests; `aio` has what waits for coroutines.

machine.execute("query-status")["status"]
machine.execute("netdev_del", id="net0")
machine.wait_event("MIGRATION", status="completed")
"""
# ruff: noqa: ASYNC109 - the blocking twins of these functions have a timeout, too

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from qemu_sim.testing.async_machine import (
    MIGRATION_TIMEOUT,
    TIMEOUT,
    AsyncMachine,
    GuestLoad,
    qmp_names,
)
from qemu_sim.testing.awaitable import AwaitableMachine
from qemu_sim.testing.client import Event
from qemu_sim.testing.loop_thread import LoopThread

if TYPE_CHECKING:
    from qemu.qmp import QMPClient

    from qemu_sim.testing.migration import Migration
    from qemu_sim.testing.reports import GuestDevice, MigrationReport, Outcome

_T = TypeVar("_T")
__tracebackhide__ = True  # pytest: a failed test shows its own lines


class SimMachine:
    """One machine. All times are in seconds.

    Errors: QMPError for a refused command, MachineEnded where the machine is gone, NotHeld
    where a migration is, TimeoutError.
    """

    def __init__(self, thread: LoopThread, machine: AsyncMachine) -> None:
        self._thread = thread
        self._machine = machine
        self._closed = False

    def __repr__(self) -> str:
        """Return what pytest shows of a fixture."""
        return f"<SimMachine '{self.name}'>"

    @property
    def name(self) -> str:
        """The guest's name, and that of its files."""
        return self._machine.name

    @property
    def qmp_path(self) -> str:
        """A QMP socket that nobody uses yet."""
        return self._machine.qmp_path

    @property
    def pid(self) -> int:
        """The process it runs in: the test's own for an in-process machine."""
        return self._machine.launch.pid

    @property
    def events(self) -> list[Event]:
        """All events so far, oldest first."""
        return self._machine.events

    @property
    def aio(self) -> AwaitableMachine:
        """The same machine for coroutines."""
        return AwaitableMachine(self._thread, self._machine)

    @property
    def unwrapped(self) -> AsyncMachine:
        """The machine on its own event loop."""
        return self._machine

    @asynccontextmanager
    async def client(self) -> AsyncIterator[QMPClient]:
        """Connect qemu.qmp's own client to `qmp_path`, on the caller's event loop."""
        from qemu.qmp import QMPClient  # noqa: PLC0415 - only who asks for it waits for it

        client = QMPClient(self.name)
        await client.connect(self.qmp_path)
        try:
            yield client
        finally:
            await client.disconnect()

    def execute(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        fds: Sequence[int] = (),
        timeout: float = TIMEOUT,
        **keywords: Any,
    ) -> Any:
        """Return a command's `return`; `fds` are sent along and stay the caller's.

        The arguments are a dict under their QMP names, or keywords with `_` for each `-`.
        """
        merged = {**(arguments or {}), **qmp_names(keywords)}
        return self._call(self._machine.execute(command, merged, fds=fds, within=timeout), timeout)

    def execute_oob(self, command: str, /, *, timeout: float = TIMEOUT, **keywords: Any) -> Any:
        """Return a command's `return` without waiting for commands before it."""
        arguments = qmp_names(keywords)
        return self._call(
            self._machine.execute(command, arguments, oob=True, within=timeout), timeout
        )

    def send_fd(self, name: str, fd: int) -> None:
        """Give the machine a duplicate of `fd` under a name (getfd)."""
        self.execute("getfd", {"fdname": name}, fds=[fd])

    def wait_event(self, name: str, /, *, timeout: float = TIMEOUT, **data: Any) -> Event:
        """Return the first event `name` with these data that was not returned before."""
        waiting = self._machine.wait_event(name, qmp_names(data), timeout)
        event: Event = self._call(waiting, timeout)
        return event

    def hold(self, point: str) -> None:
        """Let the next migration that reaches `point` on this side wait there.

        A point that none has reached when the test ends fails it, unless `release` forgot it.
        """
        self._call(self._machine.traps.hold(point), TIMEOUT)

    def wait_held(self, point: str, *, timeout: float = TIMEOUT) -> None:
        """Wait until a migration is held at `point`. Raises NotHeld as soon as it has ended."""
        self._call(self._machine.traps.wait_held(point, timeout), timeout)

    def step(self, *, timeout: float = TIMEOUT) -> str:
        """Let the held migration go on to its next point on this side; returns which it is.

        Raises NotHeld when it has ended instead.
        """
        point: str = self._call(self._machine.traps.step(timeout), timeout)
        return point

    def release(self) -> None:
        """Let the held migration go on, and forget all holds; there must be something to do."""
        self._call(self._machine.traps.release(), TIMEOUT)

    def inject(self, fault: str, *, at: str | None = None, must_strike: bool = True) -> None:
        """Let something go wrong in the next migration.

        If nothing has when the test ends, that fails it, unless it need not be (`must_strike`).
        """
        self._call(self._machine.traps.inject(fault, at, must_strike=must_strike), TIMEOUT)

    def advance(self, seconds: float, *, timeout: float = TIMEOUT) -> None:
        """Let time pass on the machine's clock (`-sim clock=manual`), with all that happens in it.

        `timeout` is of the test's own time.
        """
        self._call(self._machine.advance(seconds, timeout), timeout)

    def set_guest(self, **load: Unpack[GuestLoad]) -> None:
        """Set what the guest does with its RAM; a migration under way feels it at once."""
        self._call(self._machine.set_guest(**load), TIMEOUT)

    def start_load(self, device: str, *, queue_depth: int = 1, write: bool = False) -> None:
        """Have the guest read from a disk, or write to it, and verify; see `query_guest`."""
        load = {"queue-depth": queue_depth, "write": write}
        self.execute("x-sim-guest-io", load, device=device, enable=True)

    def stop_load(self, device: str) -> None:
        """Have the guest leave a disk alone."""
        self.execute("x-sim-guest-io", device=device, enable=False)

    def listen(self) -> str:
        """Wait for a source; returns the URI. For a machine started with -incoming defer."""
        return self._call(self._machine.listen(), 3 * TIMEOUT)

    def start_migration(
        self,
        other: SimMachine,
        *,
        backend_transfer: bool = True,
        devices: Sequence[str] | None = None,
    ) -> SimMigration:
        """Begin to migrate to `other`, started with -incoming defer; `wait` on the result."""
        beginning = self._machine.start_migration(
            other.unwrapped,
            backend_transfer=backend_transfer,
            devices=devices,
        )
        return SimMigration(self._thread, self._call(beginning, 6 * TIMEOUT))

    def migrate_to(
        self,
        other: SimMachine,
        *,
        backend_transfer: bool = True,
        devices: Sequence[str] | None = None,
        timeout: float = MIGRATION_TIMEOUT,
    ) -> Outcome:
        """Migrate to `other` and return both ends' reports, whatever the end was."""
        migration = self.start_migration(other, backend_transfer=backend_transfer, devices=devices)
        return migration.wait(timeout)

    def query_migrate(self) -> MigrationReport:
        """Return the migration's status and what became of each backend."""
        report: MigrationReport = self._call(self._machine.query_migrate(), TIMEOUT)
        return report

    def query_guest(self) -> dict[str, GuestDevice]:
        """Return what the guest did, by device."""
        from qemu_sim.testing.reports import GuestDevice  # noqa: PLC0415 - pydantic is slow

        entries = self.execute("x-sim-query-guest")
        return {entry["device"]: GuestDevice.model_validate(entry) for entry in entries}

    def wait(self, *, timeout: float = TIMEOUT) -> int:
        """Return the exit status once it has ended by itself, negative for a signal."""
        status: int = self._call(self._machine.wait(timeout), timeout)
        return status

    def kill(self) -> int:
        """Send SIGKILL to a daemon and return its exit status."""
        self._machine.launch.kill()
        return self.wait()

    def close(self) -> list[str]:
        """End it in order; returns a text for each thing that was wrong with it."""
        if self._closed:
            return []
        self._closed = True
        return [f"{self.name}: {text}" for text in self._call(self._machine.close(), 3 * TIMEOUT)]

    def _call(self, coroutine: Coroutine[Any, Any, _T], timeout: float) -> _T:
        return self._thread.call(coroutine, timeout)


class SimMigration:
    """A migration that has begun."""

    def __init__(self, thread: LoopThread, migration: Migration) -> None:
        self._thread = thread
        self._migration = migration

    def wait(self, timeout: float = MIGRATION_TIMEOUT) -> Outcome:
        """Return both ends' reports when it is over."""
        return self._thread.call(self._migration.ended(timeout), timeout)

    async def ended(self, timeout: float = MIGRATION_TIMEOUT) -> Outcome:
        """Do the same for a coroutine."""
        return await self._thread.wait(self._migration.ended(timeout))
