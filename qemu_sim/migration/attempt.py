"""One migration in either direction: a task, and what it leaves behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.migration.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from qemu_sim.migration.side import Migratable
    from qemu_sim.migration.status import Status
    from qemu_sim.migration.transfer import Plan
    from qemu_sim.migration.transport import Arrival, Opening

EXPECTED = (MigrationError, WireError, QMPError, OSError)
"""What an attempt may fail with; anything else is a bug of ours."""


class Attempt:
    """What both directions have in common."""

    def __init__(self, machine: Migratable, status: Status, phase_timeout: float) -> None:
        """`phase_timeout` in seconds."""
        self._machine = machine
        self._status = status
        self._phase_timeout = phase_timeout
        self._task: asyncio.Task[None] | None = None
        self.error: str | None = None
        self.plan: Plan | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing goes on any more."""
        return self._task is None or self._task.done()

    async def close(self) -> None:
        """End what is under way."""
        if self._task is not None and not self._task.done():
            await asyncio.sleep(0)  # cancelled before its first step, it would close nothing
            self._machine.hooks.forget()  # else it could be held on its way out
            self._task.cancel()
            await asyncio.wait([self._task])

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._task = asyncio.get_running_loop().create_task(work)
        return self._task

    async def _enter(self, status: str) -> None:
        """Move to `status`, at which the migration may be held."""
        self._status.move(status)
        await self._machine.hooks.reach(status)

    async def _stream(self, source: Opening | Arrival) -> Stream:
        channel = await source.channel()
        return Stream(channel, self._phase_timeout, self._machine.trace_migration)
