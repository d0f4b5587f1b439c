"""A machine for coroutines: what waits is awaited, on the caller's own event loop."""
# ruff: noqa: ASYNC109 - the blocking twins of these functions have a timeout, too

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from qemu_sim.testing.async_machine import (
    MIGRATION_TIMEOUT,
    TIMEOUT,
    AsyncMachine,
    GuestLoad,
    qmp_names,
)

if TYPE_CHECKING:
    from qemu_sim.testing.client import Event
    from qemu_sim.testing.loop_thread import LoopThread
    from qemu_sim.testing.machine import SimMachine
    from qemu_sim.testing.reports import Outcome
__tracebackhide__ = True  # pytest: a failed test shows its own lines


class AwaitableMachine:
    """The waiting half of SimMachine; see there."""

    def __init__(self, thread: LoopThread, machine: AsyncMachine) -> None:
        self._thread = thread
        self._machine = machine

    async def execute(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        /,
        *,
        fds: Sequence[int] = (),
        timeout: float = TIMEOUT,
        **keywords: Any,
    ) -> Any:
        """Return a command's `return`."""
        merged = {**(arguments or {}), **qmp_names(keywords)}
        return await self._thread.wait(
            self._machine.execute(command, merged, fds=fds, within=timeout)
        )

    async def wait_event(self, name: str, /, *, timeout: float = TIMEOUT, **data: Any) -> Event:
        """Return the first event `name` with these data that was not returned before."""
        event: Event = await self._thread.wait(
            self._machine.wait_event(name, qmp_names(data), timeout)
        )
        return event

    async def wait_held(self, point: str, *, timeout: float = TIMEOUT) -> None:
        """Wait until a migration is held at `point`. Raises NotHeld as soon as it has ended."""
        await self._thread.wait(self._machine.traps.wait_held(point, timeout))

    async def step(self, *, timeout: float = TIMEOUT) -> str:
        """Let the held migration go on to its next point on this side; returns which it is.

        Raises NotHeld when it has ended instead.
        """
        return await self._thread.wait(self._machine.traps.step(timeout))

    async def advance(self, seconds: float, *, timeout: float = TIMEOUT) -> None:
        """Let time pass on the machine's clock, with all that happens in it."""
        await self._thread.wait(self._machine.advance(seconds, timeout))

    async def set_guest(self, **load: Unpack[GuestLoad]) -> None:
        """Set what the guest does with its RAM."""
        await self._thread.wait(self._machine.set_guest(**load))

    async def wait(self, *, timeout: float = TIMEOUT) -> int:
        """Return the exit status once it has ended by itself."""
        return await self._thread.wait(self._machine.wait(timeout))

    async def migrate_to(
        self,
        other: SimMachine,
        *,
        backend_transfer: bool = True,
        devices: Sequence[str] | None = None,
        timeout: float = MIGRATION_TIMEOUT,
    ) -> Outcome:
        """Migrate to `other` and return both ends' reports, whatever the end was."""
        beginning = self._machine.start_migration(
            other.unwrapped, backend_transfer=backend_transfer, devices=devices
        )
        migration = await self._thread.wait(beginning)
        return await self._thread.wait(migration.ended(timeout))
