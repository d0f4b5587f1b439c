"""One migration under way between two machines of a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qemu_sim.testing.async_machine import AsyncMachine
    from qemu_sim.testing.reports import Outcome

_NOTICE = 1.0  # seconds for a destination to notice a source that failed at once, if it came


class Migration:
    """Made just before it begins: what was said before is of an earlier one."""

    def __init__(self, source: AsyncMachine, destination: AsyncMachine) -> None:
        self._source = source
        self._destination = destination
        self._since = len(source.events), len(destination.events)

    async def ended(self, within: float) -> Outcome:
        """Return both ends' reports once both have ended.

        A destination that the source never reached waits on. Raises TimeoutError.
        """
        from qemu_sim.testing.reports import Outcome  # noqa: PLC0415 - pydantic is slow

        try:
            await self._both_ends(within)
        except TimeoutError as error:
            raise TimeoutError(f"{error}{self._held()}") from None
        return Outcome(
            source=await self._source.query_migrate(),
            destination=await self._destination.query_migrate(),
        )

    async def _both_ends(self, within: float) -> None:
        await self._source.migration_ended(self._since[0], within)
        if self._has_met():
            await self._destination.migration_ended(self._since[1], within)
            return
        try:
            await self._destination.migration_ended(self._since[1], _NOTICE)
        except TimeoutError:
            return

    def _has_met(self) -> bool:
        """Whether the source came as far as to hear of the destination."""
        told = self._source.events[self._since[0] :]
        statuses = {each["data"]["status"] for each in told if each["event"] == "MIGRATION"}
        return not statuses.isdisjoint({"active", "completed"})

    def _held(self) -> str:
        """Say who waits for the test, which waits for them."""
        sides = (self._source, self._destination)
        held = {side.name: side.traps.held_at for side in sides}
        return "".join(f"; '{name}' is held at '{at}'" for name, at in held.items() if at)
