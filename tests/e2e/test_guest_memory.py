"""A guest that writes to its RAM all the time, seen as QEMU's own migration tests see theirs.

A test reads guest RAM over the qtest socket and the serial port in its file: what is in
them after a migration must be what the guest would have left there had it never moved.
"""

from __future__ import annotations

import socket

import pytest

from qemu_sim.guest import boot_sector
from qemu_sim.guest.page_writer import END, FIRST, PAGE
from qemu_sim.testing import QMPError

SIZE = 128 << 20
MARKER, MARKED = 0xFEED_0123_4567_CAFE, FIRST + (3 << 20) + 1024  # the guest leaves it alone
BREAK_OFF = {"capability": "pause-before-switchover", "state": True}
HOPELESS = {"max-bandwidth": 3_000_000, "downtime-limit": 1}
POSTCOPY = {"capability": "postcopy-ram", "state": True}


class Guest:
    """One machine whose guest writes, and what there is to see of it from outside."""

    def __init__(self, machine, qtest, serial) -> None:
        self.machine = machine
        self.execute = machine.execute
        self._serial = serial
        self._qtest = socket.socket(socket.AF_UNIX)
        self._qtest.connect(qtest)
        self._answers = self._qtest.makefile("r")

    @property
    def serial(self):
        with open(self._serial) as file:
            return file.read()

    def ask(self, *lines):
        """Return the numbers that qtest commands answer."""
        self._qtest.sendall("".join(f"{line}\n" for line in lines).encode())
        answers = [self._answers.readline().split() for _ in lines]
        assert {answer[0] for answer in answers} == {"OK"}
        return [int(answer[1], 0) for answer in answers if answer[1:]]

    def counts(self):
        """Return the byte that every eighth page begins with."""
        return bytes(self.ask(*(f"readb {at:#x}" for at in range(FIRST, END, 8 * PAGE))))

    def stand_still(self):
        """Stop it; return the bytes, which differ by one step at most, and stay."""
        self.execute("stop")
        counts = self.counts()
        steps = [at for at in range(1, len(counts)) if counts[at - 1] != counts[at]]
        assert len(steps) <= 1
        assert all((counts[at] + 1) % 256 == counts[at - 1] for at in steps)
        assert self.counts() == counts
        return counts

    def told(self):
        """Return the events so far: statuses of the migration, and other names."""
        told = [each.get("data", {}).get("status", each["event"]) for each in self.machine.events]
        return [each for each in told if each not in ("MIGRATION_PASS", "X_SIM_MIGRATION_HELD")]

    def close(self):
        self._answers.close()
        self._qtest.close()


@pytest.fixture
def make_guest(make_machine, tmp_path):
    guests = []

    def make(name, *more, sector=boot_sector.PAGE_WRITER):
        disk, serial, qtest = (str(tmp_path / f"{name}.{kind}") for kind in ("img", "out", "qt"))
        with open(disk, "wb") as file:
            file.write(sector)
        machine = make_machine(
            *("-M", "q35,memory-backend=ram", "-serial", f"file:{serial}"),
            *("-object", f"memory-backend-ram,id=ram,size={SIZE}"),
            *("-drive", f"if=none,id=d0,file={disk},format=raw", "-device", "ide-hd,drive=d0"),
            *("-qtest", f"unix:{qtest},server=on,wait=off", *more),
            name=name,
        )
        guest = Guest(machine, qtest, serial)
        guests.append(guest)
        switch(guest, {"capability": "events", "state": True})
        return guest

    yield make
    for guest in guests:
        guest.close()


@pytest.fixture
def source(make_guest):
    return make_guest("source")


@pytest.fixture
def destination(make_guest):
    return make_guest("destination", "-incoming", "defer")


def switch(guest, *capabilities):
    guest.execute("migrate-set-capabilities", capabilities=list(capabilities))


def migrate(source, destination, *, converges=True):
    """Begin; the guest writes far more than the bandwidth, so only the limit lets it converge."""
    limits = {"max-bandwidth": 1_000_000_000, "downtime-limit": 30_000} if converges else HOPELESS
    source.execute("migrate-set-parameters", limits)
    source.execute("migrate", uri=destination.machine.listen())


def completed(*guests):
    for guest in guests:
        guest.machine.wait_event("MIGRATION", status="completed")


def signs(guest, wait):
    """Wait until the guest has said something more."""
    said = guest.serial
    wait(lambda: len(guest.serial) > len(said), "a sign on the serial port")


def test_the_guest_counts_on_at_the_destination(source, destination, wait):
    signs(source, wait)
    migrate(source, destination)
    completed(source, destination)
    left = source.counts()
    wait(lambda: destination.ask(f"readb {FIRST:#x}") != [left[0]], "a byte that changes")
    signs(destination, wait)
    destination.stand_still()
    assert source.counts() == left
    assert source.serial[0] == "A"
    assert set(source.serial[1:] + destination.serial) == {"B"}
    assert source.told() == ["setup", "active", "STOP", "device", "completed"]
    assert destination.told() == ["setup", "active", "RESUME", "completed", "STOP"]


def test_what_is_sent_first_arrives_while_the_source_runs(source, destination, wait):
    source.ask(f"writeq {MARKED:#x} {MARKER:#x}")
    source.machine.hold("before-stop")
    migrate(source, destination)
    source.machine.wait_held("before-stop")
    wait(lambda: destination.ask(f"readq {MARKED:#x}") == [MARKER], "the marker")
    before = source.ask(f"readb {FIRST:#x}")
    wait(lambda: source.ask(f"readb {FIRST:#x}") != before, "a byte that changes")
    assert destination.serial == ""
    source.machine.release()
    completed(source, destination)
    destination.stand_still()


def test_not_one_step_is_lost_or_done_twice(source, make_guest, wait):
    destination = make_guest("destination", "-S", "-incoming", "defer")
    signs(source, wait)
    migrate(source, destination)
    completed(source, destination)
    left = destination.stand_still()
    assert left == source.counts()
    destination.execute("cont")
    signs(destination, wait)
    assert set(destination.serial) == {"B"}


def test_a_guest_that_stands_still_is_taken_along_as_it_is(source, destination, wait):
    signs(source, wait)
    left = source.stand_still()
    migrate(source, destination)
    completed(source, destination)
    assert destination.counts() == left
    assert destination.serial == ""
    destination.execute("cont")
    signs(destination, wait)
    assert set(destination.serial) == {"B"}
    assert source.told()[-3:] == ["active", "device", "completed"]


def test_the_guest_counts_on_when_the_migration_is_cancelled(source, destination, wait):
    switch(source, BREAK_OFF)
    migrate(source, destination)
    source.machine.wait_event("MIGRATION", status="pre-switchover")
    source.execute("migrate_cancel")
    source.machine.wait_event("MIGRATION", status="cancelled")
    assert source.told()[-3:] == ["cancelling", "RESUME", "cancelled"]
    signs(source, wait)
    source.stand_still()
    assert set(source.serial[1:]) <= {"B"}
    assert destination.serial == ""


def test_the_guest_never_stops_for_a_destination_that_is_not_there(source, wait):
    source.execute("migrate", uri="tcp:127.0.0.1:0")
    source.machine.wait_event("MIGRATION", status="failed")
    assert source.execute("query-status")["running"]
    assert "STOP" not in source.told()
    signs(source, wait)


def test_in_postcopy_the_guest_counts_on_as_well(source, destination, wait):
    switch(source, POSTCOPY)
    switch(destination, POSTCOPY, {"capability": "postcopy-blocktime", "state": True})
    signs(source, wait)
    source.machine.hold("active")
    migrate(source, destination)
    source.machine.wait_held("active")
    source.execute("migrate-start-postcopy")
    source.machine.release()
    completed(source, destination)
    signs(destination, wait)
    destination.stand_still()
    assert set(destination.serial) == {"B"}
    assert destination.execute("query-migrate")["postcopy-vcpu-blocktime"] == [0]
    order = ["STOP", "device", "postcopy-device", "postcopy-active", "completed"]
    assert source.told()[-5:] == order


def test_a_guest_is_saved_in_a_file_and_goes_on_from_it(source, destination, tmp_path, wait):
    uri = f"file:{tmp_path}/saved,offset=4096"
    left = source.stand_still()
    source.execute("migrate", uri=uri)
    completed(source)
    destination.execute("migrate-incoming", uri=uri)
    completed(destination)
    assert destination.counts() == left
    destination.execute("cont")
    signs(destination, wait)
    destination.stand_still()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_guest_that_sleeps_is_woken_up_at_the_destination(make_guest, stopped, wait):
    sector = boot_sector.SUSPENDING_PAGE_WRITER
    source = make_guest("source", sector=sector)
    destination = make_guest("destination", "-incoming", "defer", sector=sector)
    source.machine.wait_event("SUSPEND")
    with pytest.raises(QMPError, match="guest is not in suspended state"):
        destination.execute("system_wakeup")
    if stopped:
        source.execute("stop")
    migrate(source, destination)
    completed(source, destination)
    assert source.serial == "AB"
    if stopped:
        assert destination.execute("query-status")["status"] == "paused"
        destination.execute("cont")
    assert destination.execute("query-status")["status"] == "suspended"
    assert destination.counts() == source.counts()
    destination.execute("system_wakeup")
    destination.machine.wait_event("WAKEUP")
    signs(destination, wait)
    wait(lambda: "B" in destination.serial, "a sign after the wake-up")
    assert destination.serial[0] == "A"  # the firmware starts it anew
    destination.stand_still()
