"""The program that writes to pages: what it leaves in RAM and on the serial port, and when."""

import pytest

from qemu_sim.clock import ManualClock
from qemu_sim.errors import MigrationError
from qemu_sim.guest import boot_sector, page_writer
from qemu_sim.guest.page_writer import END, FIRST, PAGE, PAGES, ROUND, PageWriter
from qemu_sim.migration.guest_load import GuestLoad
from qemu_sim.virtio.memory import GuestMemory

MIB = 1 << 20
PLAIN = boot_sector.recognise(boot_sector.PAGE_WRITER)
SUSPENDING = boot_sector.recognise(boot_sector.SUSPENDING_PAGE_WRITER)
SIGN = page_writer.ROUNDS_A_SIGN * ROUND


class Surroundings:
    """A machine as the program sees it."""

    def __init__(self):
        self.memory = GuestMemory(128 * MIB, shared=False)
        self.clock = ManualClock()
        self.guest_load = GuestLoad()
        self.throttle = 0
        self.said = b""
        self.suspended = False
        self.program = None

    def say(self, data):
        self.said += data

    def suspend(self):
        self.suspended = True
        self.program.halt()

    @property
    def counts(self):
        """The byte that each page begins with."""
        return self.memory.map[FIRST:END:PAGE]


@pytest.fixture
def machine():
    made = Surroundings()
    yield made
    made.memory.close()


def start(machine, code=PLAIN):
    machine.program = PageWriter(code, machine)
    machine.program.run()
    return machine.program


async def test_each_round_adds_one_to_each_page(machine):
    start(machine)
    await machine.clock.advance(3 * ROUND)
    assert machine.counts == bytes([3]) * PAGES
    assert machine.memory.read(FIRST - PAGE, 1) == b"\0"
    assert machine.memory.read(END, 1) == b"\0"


async def test_it_stops_in_the_middle_of_a_round(machine):
    program = start(machine)
    await machine.clock.advance(2 * ROUND + ROUND // 2)
    program.halt()
    assert machine.counts == bytes([3]) * (PAGES // 2) + bytes([2]) * (PAGES - PAGES // 2)
    await machine.clock.advance(5 * ROUND)
    assert machine.counts[-1] == 2


async def test_counting_goes_on_from_255_to_0(machine):
    start(machine)
    await machine.clock.advance(257 * ROUND)
    assert machine.counts == bytes([1]) * PAGES


async def test_a_sign_comes_after_64_rounds(machine):
    start(machine)
    assert machine.said == b"A"
    await machine.clock.advance(SIGN - 1)
    assert machine.said == b"A"
    await machine.clock.advance(1 + SIGN)
    assert machine.said == b"ABB"


async def test_another_process_goes_on_where_it_stopped(machine):
    program = start(machine)
    await machine.clock.advance(SIGN - ROUND // 4)
    program.halt()
    state = program.save()
    program.close()
    machine.said = b""
    second = PageWriter.load(machine, state)
    second.run()
    await machine.clock.advance(ROUND)
    assert machine.said == b"B"
    second.halt()
    await machine.clock.advance(ROUND)
    assert sorted(set(machine.counts)) == [64, 65]
    assert machine.counts == bytes(sorted(machine.counts, reverse=True))


async def test_its_memory_is_the_guests(machine):
    program = start(machine)
    assert (FIRST, END - FIRST) in machine.memory.allocated()
    with pytest.raises(MigrationError, match="cannot hold"):
        PageWriter(PLAIN, machine)
    program.close()
    assert (FIRST, END - FIRST) not in machine.memory.allocated()


async def test_a_late_host_makes_up_for_one_round(machine):
    program = start(machine)
    machine.clock._now += 20 * ROUND
    program.halt()
    assert machine.counts == bytes([1]) * PAGES


async def test_auto_converge_slows_it_down(machine):
    machine.throttle = 75
    start(machine)
    await machine.clock.advance(8 * ROUND)
    assert machine.counts == bytes([2]) * PAGES


async def test_it_notes_how_much_it_writes(machine):
    program = start(machine)
    assert machine.guest_load.dirtied(machine.memory, 5) == (END - FIRST) // 2
    assert machine.guest_load.dirtied(machine.memory, 5000) == END - FIRST
    program.close()
    assert machine.guest_load.dirtied(machine.memory, 5000) == 0


async def test_it_suspends_once(machine):
    program = start(machine, SUSPENDING)
    await machine.clock.advance(2 * SIGN)
    assert machine.suspended
    assert machine.said == b"AB"
    assert machine.counts == bytes([64]) * PAGES
    machine.suspended = False
    program.reset()  # as when it is woken up
    program.run()
    await machine.clock.advance(2 * SIGN)
    assert machine.said == b"ABABB"
    assert not machine.suspended


async def test_it_suspends_where_it_was_taken_to(machine):
    program = start(machine, SUSPENDING)
    await machine.clock.advance(SIGN - 1)
    machine.clock._now += 1
    program.halt()  # right at the end of the round
    state = program.save()
    program.close()
    machine.program = PageWriter.load(machine, state)
    machine.program.run()
    assert not machine.suspended
    await machine.clock.advance(ROUND)
    assert machine.suspended


@pytest.mark.parametrize(
    "sector", [bytes(510) + b"\x55\xaa", bytes(512), boot_sector.PAGE_WRITER[:-1] + b"\0", b""]
)
def test_other_sectors_are_not_known(sector):
    assert boot_sector.recognise(sector) is None
