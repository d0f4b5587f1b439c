"""The RAM model of one migration, driven by the machine's clock and by clients.

What a client sets takes effect at once. `advance` goes through what happened, and `moment`
is when more will; whoever waits for that waits on `alarm`, which rings when something
changed. The model's time is the clock's, but for two cases, in which it stands still: while
a channel is missing, and with `migration_polls`, where each query-migrate is one step.
"""

from __future__ import annotations

from typing import Protocol

from qemu_sim.clock import Alarm, Clock
from qemu_sim.migration.conditions import Conditioned, conditions
from qemu_sim.migration.ram_model import Amounts, RamModel

_OLDER_UNTIL = (11, 0)  # QEMU 7.2 tells of the first and of the last look for dirty pages, too


class Timed(Conditioned, Protocol):
    """What the transfer needs of its machine."""

    @property
    def clock(self) -> Clock:
        """The machine's time."""

    def migration_passed(self, count: int) -> None:
        """Tell that RAM was gone through for the `count`th time."""


class RamTransfer:
    """How the RAM of one migration gets on."""

    def __init__(self, machine: Timed, *, travels: bool) -> None:
        """`travels`: there is nothing to send, as RAM goes by descriptor or stays where it is."""
        self._machine = machine
        self._travels = travels
        self.alarm = Alarm(machine.clock)
        self._is_older = machine.version < _OLDER_UNTIL
        self.begin()
        if self._is_older:
            machine.migration_passed(1)

    def begin(self, *, interrupted: bool = False) -> None:
        """Begin now; `interrupted` before anything has passed, make no pass over RAM at all."""
        machine = self._machine
        memory = machine.memory
        self.total = size = 0 if self._travels else memory.size
        used = 0 if self._travels else machine.guest_load.used(memory)
        self.phase = "precopy"
        self.conditions = conditions(machine, self.phase)
        begun = machine.clock.now()
        self._ahead = 0  # of the clock
        self.model = RamModel(size, used, self.conditions, begun)
        self._told = self.model.passes
        self.rest_begun: int | None = None
        polls = machine.guest_load.migration_polls
        moment = self.model.next_moment()
        self._step = -(-(moment - begun) // polls) if polls and moment is not None else 0
        self._stands_at = begun if self._step or interrupted else None

    def change(self) -> None:
        """Take over what a client has set."""
        self.conditions = conditions(self._machine, self.phase)
        self.model.change(self.conditions, self._now())
        self.alarm.ring()

    def poll(self) -> None:
        """A client has asked how far it is."""
        if self._step and self._stands_at is not None:
            self._stands_at += self._step
            self.alarm.ring()

    def advance(self) -> bool:
        """Go through what happened up to now, and tell of passes; return whether there is more.

        Then it goes on at `moment`, or when the alarm rings.
        """
        self.model.settle(self._now())
        while self._told < self.model.passes:
            self._told += 1
            self._machine.migration_passed(self._told)
        return self.model.next_moment() is not None

    @property
    def moment(self) -> int | None:
        """When to `advance` at the latest; None: when the alarm rings."""
        moment = self.model.next_moment() if self._stands_at is None else None
        return None if moment is None else moment - self._ahead

    def interrupt(self) -> None:
        """Make no more passes over RAM."""
        if self.phase == "precopy":
            self.freeze()
            self.alarm.ring()

    def freeze(self) -> None:
        """Let no time pass until `go_on`."""
        self._stands_at = self._now()

    def go_on(self) -> None:
        """Let time pass again."""
        self._ahead, self._stands_at = self._now() - self._machine.clock.now(), None

    def send_rest(self, phase: str) -> None:
        """Send what is left of a guest that has stopped: in "downtime", or in "postcopy"."""
        now, by_polls = self._now(), bool(self._step)
        self.go_on()
        self._step = 0
        self.model.stop(now, counts=self._is_older)
        self.phase, self.rest_begun = phase, self._machine.clock.now()
        if not self._travels:  # then nothing is left, and the guest stands still
            self.conditions = conditions(self._machine, phase)
            self.model.change(self.conditions, now)
        self.model.send_rest(now, phase)
        moment = self.model.next_moment()
        if by_polls and moment is not None:  # there were enough of them: no time passes
            self._ahead += moment - now

    @property
    def throttle(self) -> int:
        """How much of its time auto-converge takes from the guest, in percent."""
        self.model.settle(self._now())
        return self.model.throttle.percentage

    def amounts(self) -> Amounts:
        """Return how far it is."""
        return self.model.at(self._now())

    def _now(self) -> int:
        if self._stands_at is not None:
            return self._stands_at
        return self._machine.clock.now() + self._ahead
