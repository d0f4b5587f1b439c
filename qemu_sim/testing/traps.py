"""What a test has set up to befall a migration: where it is to be held, what is to go wrong.

A fault that never strikes proves nothing, and neither does a test that looks where the
migration never was. So a trap that nothing has sprung is a complaint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from qemu_sim.testing.async_machine import AsyncMachine
    from qemu_sim.testing.client import Client, Event

ENDED = ("completed", "failed", "cancelled")
_HELD = "X_SIM_MIGRATION_HELD"
_STRUCK = "X_SIM_FAULT_STRUCK"


class NotHeld(Exception):
    """A migration has ended without coming to where the test waits for it."""


class _Fault(NamedTuple):
    data: Mapping[str, Any]
    since: int

    def __str__(self) -> str:
        place = f" at '{self.data['at']}'" if "at" in self.data else ""
        return f"fault '{self.data['fault']}'{place}"


class Traps:
    """Those of one machine, each since a position among the events of its `client`."""

    def __init__(self, machine: AsyncMachine, client: Client) -> None:
        self._machine = machine
        self._client = client
        self._holds: dict[str, int] = {}
        self._faults: list[_Fault] = []
        self._let_go = 0

    @property
    def held_at(self) -> str | None:
        """Where a migration is held, as far as the test has heard."""
        held = [each for each in self._client.events[self._let_go :] if each["event"] == _HELD]
        return str(held[-1]["data"]["at"]) if held else None

    async def hold(self, point: str) -> None:
        """Let the next migration that reaches `point` wait there."""
        since = len(self._client.events)
        await self._machine.execute("x-sim-migration-hold", {"at": point})
        self._holds[point] = since

    async def release(self) -> None:
        """Let the held migration go on, and forget all holds."""
        since = len(self._client.events)
        await self._machine.execute("x-sim-migration-release")
        self._let_go = since
        self._holds.clear()

    async def step(self, within: float) -> str:
        """Let the held migration go on to its next point; returns which it is."""
        since = len(self._client.events)
        await self._machine.execute("x-sim-migration-step")
        self._let_go = since
        return await self._held({}, since, within)

    async def wait_held(self, point: str, within: float) -> None:
        """Wait until a migration is held at `point`. Raises NotHeld as soon as it has ended."""
        await self._held({"at": point}, self._holds.get(point, 0), within)

    async def inject(self, fault: str, at: str | None, *, must_strike: bool) -> None:
        """Let something go wrong in the next migration."""
        data = {"fault": fault} if at is None else {"fault": fault, "at": at}
        since = len(self._client.events)
        await self._machine.execute("x-sim-inject-fault", data)
        if must_strike:
            self._faults.append(_Fault(data, since))

    def unsprung(self, *, killed: bool) -> Iterator[str]:
        """Yield a line for each; a `killed` machine could not say that it was to die."""
        events = self._client.events
        for point, since in self._holds.items():
            if not any(_is(event, _HELD, {"at": point}) for event in events[since:]):
                yield f"no migration was held at '{point}' (release() forgets a hold)"
        for fault in self._waiting_faults():
            if not (killed and fault.data["fault"] == "die"):
                yield f"{fault} never struck (inject(…, must_strike=False) allows that)"

    def _waiting_faults(self) -> list[_Fault]:
        left = list(self._faults)
        for position, event in enumerate(self._client.events):
            fitting = (
                fault
                for fault in left
                if fault.since <= position and _is(event, _STRUCK, fault.data)
            )
            struck = next(fitting, None)
            if struck is not None:
                left.remove(struck)
        return left

    async def _held(self, data: Mapping[str, Any], since: int, within: float) -> str:
        ended = partial(self._has_ended, since)
        try:
            event = await self._client.wait_event(_HELD, data, within, ended)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; its migration: {await self._outcome()}") from None
        if event["event"] == _HELD:
            return str(event["data"]["at"])
        self._holds.pop(data.get("at", ""), None)  # this says it
        where = f"at '{data['at']}'" if data else "at a further point"
        text = f"machine '{self._machine.name}' was not held {where}; its migration: "
        raise NotHeld(text + await self._outcome())

    def _has_ended(self, since: int, position: int, event: Event) -> bool:
        """Whether this ends the migration at hand: no other has begun behind it."""
        if (
            position < since
            or event["event"] != "MIGRATION"
            or event["data"]["status"] not in ENDED
        ):
            return False
        later = self._client.events[position:]
        return not any(_is(event, "MIGRATION", {"status": "setup"}) for event in later)

    async def _outcome(self) -> str:
        report = await self._machine.execute("query-migrate")
        return ": ".join(filter(None, (report.get("status", "none"), report.get("error-desc"))))


def _is(event: Event, name: str, data: Mapping[str, Any]) -> bool:
    there: Mapping[str, Any] = event.get("data", {})
    return event["event"] == name and data.items() <= there.items()
