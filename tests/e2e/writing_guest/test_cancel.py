"""migrate_cancel in each status of the source, and the migration after it.

As in QEMU's tests/qtest/migration/precopy-tests.c (cancel/src/after).
"""

from __future__ import annotations

import pytest

CANCELLED = ["cancelling", "cancelled"]
STOPPED = ["cancelling", "RESUME", "cancelled"]


def go_on(guest, wait):
    """Assert that the guest runs there, and counts as if nothing had been."""
    said = guest.serial
    wait(lambda: len(guest.serial) > len(said), "a sign on the serial port")
    guest.stand_still()


def migrate_to_another(source, make_guest, wait):
    """Migrate once more, and let it end."""
    another = make_guest("another", "-incoming", "defer")
    source.migrate_to(another)
    source.reaches("completed")
    another.reaches("completed")
    go_on(another, wait)


@pytest.mark.parametrize(
    ("status", "end"),
    [("setup", CANCELLED), ("active", CANCELLED), ("pre-switchover", STOPPED), ("device", STOPPED)],
)
def test_cancelled_in(status, end, source, make_guest, wait):
    destination = make_guest("destination", "-incoming", "defer")
    source.switch("pause-before-switchover", "return-path")
    source.machine.hold(status)
    source.migrate_to(destination)
    if status == "device":
        source.reaches("pre-switchover")
        source.execute("migrate-continue", state="pre-switchover")
    source.machine.wait_held(status)
    seen = source.told()
    source.execute("migrate_cancel")
    source.reaches("cancelled")
    assert source.told()[len(seen) :] == end
    if status != "setup":  # the destination has seen the source
        destination.reaches("failed")
    assert destination.serial == ""
    source.execute(
        "migrate-set-capabilities",
        capabilities=[{"capability": "pause-before-switchover", "state": False}],
    )
    migrate_to_another(source, make_guest, wait)


def test_cancelled_before_there_is_a_migration(source, destination, make_guest, wait):
    for guest in (source, destination):
        guest.execute("migrate_cancel")
        assert guest.told() == []
    migrate_to_another(source, make_guest, wait)


def test_cancelled_while_it_is_being_cancelled(source, destination, make_guest, wait):
    source.machine.hold("cancelling")
    source.migrate_to(destination, converges=False)
    source.reaches("active")
    source.execute("migrate_cancel")
    source.machine.wait_held("cancelling")
    source.execute("migrate_cancel")
    source.machine.release()
    source.reaches("cancelled")
    source.execute("migrate_cancel")
    assert source.told() == ["setup", "active", *CANCELLED]
    migrate_to_another(source, make_guest, wait)


def test_cancelled_after_it_has_completed(source, destination, wait):
    source.migrate_to(destination)
    source.reaches("completed")
    source.execute("migrate_cancel")
    destination.reaches("completed")
    assert source.execute("query-migrate")["status"] == "completed"
    go_on(destination, wait)


def test_cancelled_after_it_has_failed(source, tmp_path, make_guest, wait):
    source.execute("migrate", uri=f"unix:{tmp_path}/nobody")
    source.reaches("failed")
    source.execute("migrate_cancel")
    assert source.execute("query-migrate")["status"] == "failed"
    migrate_to_another(source, make_guest, wait)


def test_cancelled_once_it_does_not_converge(source, destination, make_guest, wait):
    source.migrate_to(destination, converges=False)
    source.reaches("active")
    source.execute("migrate_cancel")
    source.reaches("cancelled")
    go_on(source, wait)
    source.execute("cont")
    migrate_to_another(source, make_guest, wait)
