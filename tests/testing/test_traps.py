"""Holds and faults that a test sets: what springs them, and what is said where nothing does."""

from __future__ import annotations

import time

import pytest

from qemu_sim.testing import NotHeld, QMPError
from qemu_sim.testing.traps import Traps


class Machine:
    """Takes every command; the test says what its events are."""

    name = "vm"

    def __init__(self):
        self.events = []
        self.traps = Traps(self, self)

    async def execute(self, command, arguments=None):
        return {}

    def tell(self, event, **data):
        self.events.append({"event": event, "data": data})

    def left(self, *, killed=False):
        return list(self.traps.unsprung(killed=killed))


@pytest.fixture
def vm():
    return Machine()


async def test_a_hold_is_to_be_reached_or_forgotten(vm):
    vm.tell("X_SIM_MIGRATION_HELD", at="stopped")  # of an earlier hold
    await vm.traps.hold("stopped")
    await vm.traps.hold("active")
    vm.tell("X_SIM_MIGRATION_HELD", at="active")
    assert vm.left() == ["no migration was held at 'stopped' (release() forgets a hold)"]
    await vm.traps.release()
    assert vm.left() == []


async def test_each_fault_is_to_strike(vm):
    vm.tell("X_SIM_FAULT_STRUCK", fault="refuse", at="stopped")
    for _ in range(2):
        await vm.traps.inject("refuse", "stopped", must_strike=True)
    await vm.traps.inject("refuse", None, must_strike=True)
    await vm.traps.inject("lose-fd", None, must_strike=False)
    vm.tell("X_SIM_FAULT_STRUCK", fault="refuse", at="before-stop")
    vm.tell("X_SIM_FAULT_STRUCK", fault="refuse", at="stopped")
    allowed = "(inject(…, must_strike=False) allows that)"
    assert vm.left() == [f"fault 'refuse' at 'stopped' never struck {allowed}"]
    vm.tell("X_SIM_FAULT_STRUCK", fault="refuse", at="stopped")
    assert vm.left() == []


async def test_who_was_killed_may_have_died_of_it(vm):
    await vm.traps.inject("die", None, must_strike=True)
    await vm.traps.inject("refuse", None, must_strike=True)
    assert [line.split(" never")[0] for line in vm.left()] == ["fault 'die'", "fault 'refuse'"]
    assert [line.split(" never")[0] for line in vm.left(killed=True)] == ["fault 'refuse'"]


# Two machines.


def begin(source, destination, point="postcopy-active"):
    """Begin a migration that is to be held where it never comes."""
    source.hold(point)
    return source.start_migration(destination)


def test_waiting_ends_with_the_migration(machine_pair):
    source, destination = machine_pair
    begin(source, destination)
    began = time.monotonic()
    with pytest.raises(
        NotHeld,
        match=r"^machine 'source' was not held at 'postcopy-active'; its migration: completed$",
    ):
        source.wait_held("postcopy-active")
    assert time.monotonic() - began < 10  # the timeout


async def test_waiting_of_a_coroutine_ends_with_the_migration(machine_pair):
    source, destination = machine_pair
    source.inject("refuse", at="active")
    begin(source, destination)
    with pytest.raises(NotHeld, match=r"its migration: failed: refused by an injected fault$"):
        await source.aio.wait_held("postcopy-active")


def test_the_end_of_an_earlier_migration_ends_no_waiting(machine_pair):
    source, destination = machine_pair
    source.inject("refuse", at="active")
    begin(source, destination, "stopped").wait()
    migration = source.start_migration(destination)
    source.wait_held("stopped")
    source.release()
    assert migration.wait().source.status == "completed"


def test_a_step_that_finds_no_further_point_says_so(machine_pair):
    source, destination = machine_pair
    begin(source, destination, "started-received")
    source.wait_held("started-received")
    with pytest.raises(
        NotHeld, match="'source' was not held at a further point; its migration: comp"
    ):
        source.step()


def test_who_holds_is_named_where_the_end_does_not_come(machine_pair):
    source, destination = machine_pair
    destination.hold("ready-sent")
    migration = source.start_migration(destination)
    destination.wait_held("ready-sent")
    with pytest.raises(TimeoutError, match=r"; 'destination' is held at 'ready-sent'$"):
        migration.wait(0.1)
    destination.release()
    assert migration.wait().source.status == "completed"


def test_a_source_that_fails_before_it_connects_is_not_waited_for(machine_pair):
    source, destination = machine_pair
    source.inject("refuse", at="setup")
    began = time.monotonic()
    outcome = source.migrate_to(destination)
    assert (outcome.source.status, outcome.destination.status) == ("failed", "setup")
    assert time.monotonic() - began < 15  # half the timeout
    assert source.migrate_to(destination).source.status == "completed"


@pytest.mark.parametrize("backend_transfer", [True, False])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_fault_without_a_point_strikes(machine_pair, side, backend_transfer):
    struck = getattr(machine_pair, side)
    struck.inject("refuse")
    outcome = machine_pair.source.migrate_to(
        machine_pair.destination, backend_transfer=backend_transfer
    )
    assert outcome.source.status == outcome.destination.status == "failed"
    assert "refused by an injected fault" in getattr(outcome, side).error_desc


def test_nothing_is_released_that_is_not_held(machine):
    for command in (machine.release, machine.step):
        with pytest.raises(QMPError, match="Nothing is held"):
            command()
    machine.hold("stopped")
    machine.release()
