"""The program of QEMU's migration tests: it writes to each page of RAM, over and over.

QEMU: tests/qtest/migration/i386/a-b-bootblock.S

It adds 1 to the first byte of every 4 KiB page from 1 MiB to 100 MiB, in order, round after
round, and puts an "A" on the serial port when it begins and a "B" after each 64 rounds. So
all those bytes are equal but for one step, where it is just now. It takes its memory from
the guest's, so that a migration sends it again once the machine has stopped.

A round takes 10 ms, in steps of a timer that exists only while the machine runs. A host
that comes too late runs a slower guest: it makes up for one round at most. So does
auto-converge, which takes some of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from qemu_sim.clock import MILLISECOND, SECOND, Clock, Timer
from qemu_sim.guest.boot_sector import Code
from qemu_sim.migration.guest_load import GuestLoad, Writing

if TYPE_CHECKING:
    from qemu_sim.virtio.memory import GuestMemory

FIRST, END, PAGE = 1 << 20, 100 << 20, 4096
PAGES = (END - FIRST) // PAGE
ROUND = 10 * MILLISECOND
ROUNDS_A_SIGN = 64
WRITING = Writing(rate=(END - FIRST) * SECOND // ROUND, span=END - FIRST)
_PLUS_ONE = bytes((byte + 1) % 256 for byte in range(256))


class Hardware(Protocol):
    """What any program needs of its machine."""

    @property
    def memory(self) -> GuestMemory:
        """Guest RAM."""

    @property
    def clock(self) -> Clock:
        """The machine's time."""

    @property
    def throttle(self) -> int:
        """How much of its time is taken from the guest, in percent."""

    @property
    def guest_load(self) -> GuestLoad:
        """Where to note what is done to RAM."""


class Surroundings(Hardware, Protocol):
    """What the program needs besides."""

    def say(self, data: bytes) -> None:
        """Put `data` on the serial port."""

    def suspend(self) -> None:
        """Stop the machine until it is woken up."""


class PageWriter:
    """The program as a machine runs it."""

    def __init__(self, code: Code, machine: Surroundings) -> None:
        """Take its memory. Raises MigrationError when that is somebody's already."""
        self._code = code
        self._machine = machine
        self._page = 0  # the next one
        self._rounds = 0  # since the last sign
        self._sleeps = False  # until the machine is woken up
        self._begun = False
        self._since = 0
        self._timer: Timer | None = None
        machine.memory.claim(FIRST, END - FIRST)
        machine.guest_load.program = WRITING

    def reset(self) -> None:
        """Start from the top, as the firmware starts it; when it runs, if it does not."""
        self._begun = False
        if self._timer is not None:
            self.halt()
            self.run()

    def run(self) -> None:
        """Begin, or go on."""
        if not self._begun:
            self._begin()
        self._since = self._machine.clock.now()
        self._set_timer()

    def halt(self) -> None:
        """Stop where it is by now; nothing happens when it does not run."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._write_pages()

    def save(self) -> dict[str, Any]:
        """Return where it is, and what it is, as JSON."""
        place = [self._page, self._rounds, self._sleeps, self._begun]
        return {"code": list(self._code), "place": place}

    @classmethod
    def load(cls, machine: Surroundings, state: dict[str, Any]) -> PageWriter:
        """Go on where `save` was called in another process. Raises MigrationError."""
        program = cls(Code(*state["code"]), machine)
        program._page, program._rounds, program._sleeps, program._begun = state["place"]
        return program

    def close(self) -> None:
        """End it, and give its memory back."""
        self.halt()
        self._machine.memory.free(FIRST)
        self._machine.guest_load.program = None

    def _begin(self) -> None:
        self._begun, self._sleeps = True, False
        self._page = self._rounds = 0
        if self._code.clears:
            self._machine.memory.map[FIRST:END:PAGE] = bytes(PAGES)
        self._machine.say(b"A")

    def _set_timer(self) -> None:
        when = self._machine.clock.now() + ROUND
        self._timer = self._machine.clock.call_at(when, self._tick)

    def _tick(self) -> None:
        self._set_timer()
        self._write_pages()
        if self._sleeps:
            self._machine.suspend()

    def _write_pages(self) -> None:
        """Do what a CPU would have done since the last time."""
        now = self._machine.clock.now()
        its_time = (now - self._since) * (100 - self._machine.throttle) // 100
        left = min(its_time * PAGES // ROUND, PAGES)
        self._since = now
        while left and not self._sleeps:
            count = min(left, PAGES - self._page)
            self._add_one(self._page, count)
            self._page = (self._page + count) % PAGES
            left -= count
            if not self._page:
                self._end_round()

    def _add_one(self, page: int, count: int) -> None:
        at = slice(FIRST + page * PAGE, FIRST + (page + count) * PAGE, PAGE)
        ram = self._machine.memory.map
        ram[at] = ram[at].translate(_PLUS_ONE)

    def _end_round(self) -> None:
        self._rounds = (self._rounds + 1) % ROUNDS_A_SIGN
        if self._rounds:
            return
        self._machine.say(b"B")
        if self._code.suspends and not self._machine.memory.map[self._code.note]:
            self._machine.memory.map[self._code.note] = 1
            self._sleeps = True
