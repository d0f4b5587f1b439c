"""A guest that writes to its RAM all the time, seen as QEMU's own migration tests see theirs.

A test reads guest RAM over the qtest socket and the serial port in its file: what is in
them after a migration must be what the guest would have left there had it never moved.
"""

from __future__ import annotations

import pytest

from qemu_sim.guest import boot_sector
from qemu_sim.guest.page_writer import FIRST
from qemu_sim.testing import QMPError

MARKER, MARKED = 0xFEED_0123_4567_CAFE, FIRST + (3 << 20) + 1024  # the guest leaves it alone
BREAK_OFF = "pause-before-switchover"
POSTCOPY = "postcopy-ram"


def signs(guest, wait):
    """Wait until the guest has said something more."""
    said = guest.serial
    wait(lambda: len(guest.serial) > len(said), "a sign on the serial port")


def test_the_guest_counts_on_at_the_destination(source, destination, wait):
    signs(source, wait)
    source.migrate_to(destination)
    source.reaches("completed")
    destination.reaches("completed")
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
    source.migrate_to(destination)
    source.machine.wait_held("before-stop")
    wait(lambda: destination.ask(f"readq {MARKED:#x}") == [MARKER], "the marker")
    before = source.ask(f"readb {FIRST:#x}")
    wait(lambda: source.ask(f"readb {FIRST:#x}") != before, "a byte that changes")
    assert destination.serial == ""
    source.machine.release()
    source.reaches("completed")
    destination.reaches("completed")
    destination.stand_still()


def test_not_one_step_is_lost_or_done_twice(source, make_guest, wait):
    destination = make_guest("destination", "-S", "-incoming", "defer")
    signs(source, wait)
    source.migrate_to(destination)
    source.reaches("completed")
    destination.reaches("completed")
    left = destination.stand_still()
    assert left == source.counts()
    destination.execute("cont")
    signs(destination, wait)
    assert set(destination.serial) == {"B"}


def test_a_guest_that_stands_still_is_taken_along_as_it_is(source, destination, wait):
    signs(source, wait)
    left = source.stand_still()
    source.migrate_to(destination)
    source.reaches("completed")
    destination.reaches("completed")
    assert destination.counts() == left
    assert destination.serial == ""
    destination.execute("cont")
    signs(destination, wait)
    assert set(destination.serial) == {"B"}
    assert source.told()[-3:] == ["active", "device", "completed"]


def test_the_guest_counts_on_when_the_migration_is_cancelled(source, destination, wait):
    source.switch(BREAK_OFF)
    source.migrate_to(destination)
    source.reaches("pre-switchover")
    source.execute("migrate_cancel")
    source.reaches("cancelled")
    assert source.told()[-3:] == ["cancelling", "RESUME", "cancelled"]
    signs(source, wait)
    source.stand_still()
    assert set(source.serial[1:]) <= {"B"}
    assert destination.serial == ""


def test_the_guest_never_stops_for_a_destination_that_is_not_there(source, wait):
    source.execute("migrate", uri="tcp:127.0.0.1:0")
    source.reaches("failed")
    assert source.execute("query-status")["running"]
    assert "STOP" not in source.told()
    signs(source, wait)


def test_in_postcopy_the_guest_counts_on_as_well(source, destination, wait):
    source.switch(POSTCOPY)
    destination.switch(POSTCOPY, "postcopy-blocktime")
    signs(source, wait)
    source.machine.hold("active")
    source.migrate_to(destination)
    source.machine.wait_held("active")
    source.execute("migrate-start-postcopy")
    source.machine.release()
    source.reaches("completed")
    destination.reaches("completed")
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
    source.reaches("completed")
    destination.execute("migrate-incoming", uri=uri)
    destination.reaches("completed")
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
    source.migrate_to(destination)
    source.reaches("completed")
    destination.reaches("completed")
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
