"""How a migration of the guest that writes gets on, on a clock that is moved by hand.

As in QEMU's tests/qtest/migration (test_auto_converge, test_precopy_unix_xbzrle).
"""

from __future__ import annotations

import pytest

from qemu_sim.guest.page_writer import END, FIRST, ROUND

SPAN = END - FIRST
SLOW = 30_000_000  # bytes a second of max-bandwidth: the guest writes 10 GB a second
FIRST_PASS = SPAN // SLOW  # seconds
THROTTLE = {"cpu-throttle-initial": 5, "cpu-throttle-increment": 25, "max-cpu-throttle": 95}


@pytest.fixture
def pair(make_guest):
    manual = ("-sim", "clock=manual")
    source = make_guest("source", *manual)
    destination = make_guest("destination", *manual, "-incoming", "defer")
    pass_time(source, 1)
    return source, destination


def begin(source, destination):
    """Begin a migration that does not converge."""
    source.migrate_to(destination, converges=False)
    source.execute("migrate-set-parameters", {"max-bandwidth": SLOW})


def pass_time(guest, seconds):
    """Let time pass; return how the migration stands then."""
    guest.execute("x-sim-clock-advance", ms=int(seconds * 1000))
    return guest.execute("query-migrate")


def let_it_end(source, destination):
    source.execute("migrate-set-parameters", {"max-bandwidth": 10**9, "downtime-limit": 30_000})
    assert pass_time(source, 5)["status"] == "completed"
    destination.reaches("completed")
    pass_time(destination, 1)
    destination.stand_still()


def rounds(guest):
    """Return how many rounds the guest does in 100 ms."""
    (before,) = guest.ask(f"readb {FIRST:#x}")
    guest.execute("x-sim-clock-advance", ms=100)
    (after,) = guest.ask(f"readb {FIRST:#x}")
    return (after - before) % 256


def test_it_does_not_converge_before_the_limits_let_it(pair):
    source, destination = pair
    begin(source, destination)
    info = pass_time(source, FIRST_PASS - 1)
    assert (info["status"], info["ram"]["dirty-sync-count"]) == ("active", 1)
    for count in (2, 3):
        info = pass_time(source, FIRST_PASS + 1)
        assert (info["status"], info["ram"]["dirty-sync-count"]) == ("active", count)
        assert info["ram"]["remaining"] <= SPAN
    let_it_end(source, destination)


def test_auto_converge_takes_more_and_more_of_the_guests_time(pair):
    source, destination = pair
    source.switch("auto-converge", "pause-before-switchover")
    source.execute("migrate-set-parameters", THROTTLE)
    begin(source, destination)
    assert rounds(source) == 100 * 1_000_000 // ROUND
    seen = []
    while (taken := pass_time(source, 1).get("cpu-throttle-percentage", 0)) < 80:
        seen += [taken] if taken not in seen else []
    assert seen == [0, 5, 30, 55]
    assert rounds(source) == 2  # of 10
    source.execute("migrate-set-parameters", {"max-bandwidth": 10**9, "downtime-limit": 30_000})
    assert pass_time(source, 1)["status"] == "pre-switchover"
    source.execute("migrate-continue", state="pre-switchover")
    let_it_end(source, destination)
    assert destination.execute("query-migrate")["status"] == "completed"


def test_xbzrle_finds_pages_of_an_earlier_pass(pair):
    source, destination = pair
    for guest in pair:
        guest.switch("xbzrle")
    source.execute("migrate-set-parameters", {"xbzrle-cache-size": 32 << 20})
    begin(source, destination)
    assert pass_time(source, 1)["xbzrle-cache"]["pages"] == 0
    cache = pass_time(source, 2 * FIRST_PASS)["xbzrle-cache"]
    assert cache["pages"] > 0
    assert cache["cache-miss"] > cache["pages"]  # the cache holds a third of what it writes to
    let_it_end(source, destination)


def test_a_cancelled_migration_gives_the_guest_its_time_back(pair):
    source, destination = pair
    source.switch("auto-converge")
    begin(source, destination)
    while not pass_time(source, 5).get("cpu-throttle-percentage"):
        pass
    assert rounds(source) < 10
    source.execute("migrate_cancel")
    source.reaches("cancelled")
    assert rounds(source) == 10
