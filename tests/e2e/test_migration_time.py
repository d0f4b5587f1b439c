"""Migrations that take minutes, in no time: what is told on the way, and when they end."""

from __future__ import annotations

import time

import pytest

from qemu_sim.testing import QMPError

GIB = 1 << 30
TEN_GBIT = 1_250_000_000
WIRE = 4104 / 4096  # a page on the wire
GIGABYTE = 1_000_000_000


@pytest.fixture
def pair(make_machine):
    """Make a source of much RAM, on a manual clock, and its destination."""

    def make(*, size="64G", sim="guest-dirty-rate=1000000000", name="src", capabilities=(), **sets):
        machine = ("-machine", "q35", "-m", size)
        profile = sets.pop("profile", "11.1")
        source = make_machine(*machine, "-sim", f"clock=manual,profile={profile},{sim}", name=name)
        options = ("-incoming", "defer", "-sim", f"profile={profile}")
        destination = make_machine(*machine, *options, name=f"{name}-to")
        states = [{"capability": each, "state": True} for each in capabilities]
        for end in (source, destination):
            end.execute("migrate-set-capabilities", capabilities=states)
            end.execute("migrate-set-parameters", {"max-bandwidth": TEN_GBIT, **sets})
        source.start_migration(destination, backend_transfer=False)
        return source, destination

    return make


def advance(machine, seconds):
    machine.execute("x-sim-clock-advance", ms=round(seconds * 1000), timeout=60)
    return machine.execute("query-migrate")


def moments(machine, *names):
    """Seconds from `setup` on at which events came, by their names and data."""
    told = [event for event in machine.events if event["event"] in names]
    stamps = [event["timestamp"] for event in told]
    times = [stamp["seconds"] + stamp["microseconds"] / 1e6 for stamp in stamps]
    texts = [next(iter(event.get("data", {}).values()), event["event"]) for event in told]
    return [(text, at - times[0]) for text, at in zip(texts, times, strict=True)]


def test_64_gib_at_10_gbit_with_1_gb_a_second_dirtied(pair):
    source, destination = pair()
    begun = time.monotonic()
    info = advance(source, 50)
    sent = 50 * TEN_GBIT
    assert info["status"] == "active"
    assert info["total-time"] == 50_000
    assert info["ram"]["total"] == 64 * GIB
    assert info["ram"]["dirty-sync-count"] == 1
    assert info["ram"]["transferred"] == pytest.approx(sent, rel=1e-4)
    assert info["ram"]["remaining"] == pytest.approx(64 * GIB - sent / WIRE, rel=1e-4)
    assert info["ram"]["mbps"] == 10_000
    assert info["expected-downtime"] == 300
    info = advance(source, 30)
    assert info["ram"]["dirty-sync-count"] == 2
    assert info["ram"]["dirty-pages-rate"] == pytest.approx(GIGABYTE / 4096, rel=1e-3)
    first = 64 * GIB * WIRE / TEN_GBIT
    assert info["expected-downtime"] == pytest.approx(first * GIGABYTE / TEN_GBIT * 1000, rel=1e-3)
    info = advance(source, 200)
    assert info["status"] == "completed"
    converged = (64 * GIB - 0.3 * TEN_GBIT) / (TEN_GBIT / WIRE - GIGABYTE)
    assert info["downtime"] == pytest.approx(300 * WIRE, abs=2)
    assert info["total-time"] == pytest.approx(converged * 1000 + 300 * WIRE, rel=1e-4)
    assert destination.wait_event("RESUME")
    assert destination.execute("query-status")["status"] == "running"
    stop = dict(moments(source, "MIGRATION", "STOP"))["STOP"]
    assert stop == pytest.approx(converged, rel=1e-4)
    passes = [text for text, _ in moments(source, "MIGRATION_PASS")]
    assert passes == list(range(2, info["ram"]["dirty-sync-count"] + 1))
    # Nobody has waited for it, and nothing was allocated for it.
    assert time.monotonic() - begun < 60


def test_it_is_twice_the_same(pair):
    def told(name):
        source, _ = pair(name=name)
        infos = [advance(source, 40) for _ in range(8)]
        return infos, source.events

    first, second = told("one"), told("two")
    assert first == second
    assert first[0][-1]["status"] == "completed"


def test_more_downtime_ends_what_does_not_converge(pair):
    source, _ = pair(sim=f"guest-dirty-rate={2 * GIGABYTE}")
    info = advance(source, 3600)
    assert info["status"] == "active"
    assert info["ram"]["dirty-sync-count"] > 60
    source.execute("migrate-set-parameters", {"downtime-limit": 60_000})
    info = advance(source, 120)
    assert info["status"] == "completed"
    assert 50_000 < info["downtime"] < 60_000 * WIRE


def test_less_work_of_the_guest_ends_it_too(pair):
    source, _ = pair(sim=f"guest-dirty-rate={2 * GIGABYTE}")
    assert advance(source, 600)["status"] == "active"
    source.execute("x-sim-set-guest", dirty_rate=0)
    assert advance(source, 120)["status"] == "completed"


def test_a_guest_that_stands_still_dirties_nothing(pair):
    source, destination = pair(sim=f"guest-dirty-rate={2 * GIGABYTE}")
    advance(source, 100)
    source.execute("stop")
    assert advance(source, 120)["status"] == "completed"
    destination.wait_event("MIGRATION", status="completed")
    assert destination.execute("query-status")["status"] == "paused"


def test_less_bandwidth_is_felt_at_once(pair):
    source, _ = pair(sim="guest-ram-used=64G")
    before = advance(source, 10)["ram"]
    source.execute("migrate-set-parameters", {"max-bandwidth": TEN_GBIT // 10})
    after = advance(source, 10)["ram"]
    assert after["transferred"] - before["transferred"] == pytest.approx(TEN_GBIT, rel=1e-4)
    assert after["mbps"] == 1000


def test_auto_converge_slows_the_guest_down(pair):
    source, _ = pair(sim=f"guest-dirty-rate={2 * GIGABYTE}", capabilities=["auto-converge"])
    seen = set()
    for _ in range(60):
        info = advance(source, 10)
        seen.add(info.get("cpu-throttle-percentage"))
    assert {None, 20, 30, 40, 50} <= seen
    assert info["status"] == "completed"
    assert "cpu-throttle-percentage" not in info


def test_a_guest_that_is_slowed_down_dirties_less(pair):
    load = "guest-dirty-rate=8G,guest-ram-used=4G"
    source, _ = pair(size="8G", sim=load, capabilities=["auto-converge"])
    taken = 0
    while not taken:
        taken = advance(source, 0.5).get("cpu-throttle-percentage", 0)
    source.execute("calc-dirty-rate", calc_time=125, calc_time_unit="millisecond")
    advance(source, 0.125)
    rate = source.execute("query-dirty-rate")["dirty-rate"]
    assert rate == (8 << 10) * (100 - taken) // 100
    source.execute("migrate_cancel")
    source.wait_event("MIGRATION", status="cancelled")
    source.execute("calc-dirty-rate", calc_time=125, calc_time_unit="millisecond")
    advance(source, 0.125)
    assert source.execute("query-dirty-rate")["dirty-rate"] == 8 << 10


def test_xbzrle_tells_of_its_cache(pair):
    source, _ = pair(sim="guest-dirty-rate=900M,guest-ram-used=1G", capabilities=["xbzrle"])
    assert advance(source, 0.1)["xbzrle-cache"] == {
        "cache-size": 64 << 20,
        "bytes": 0,
        "pages": 0,
        "overflow": 0,
        "cache-miss": 0,
        "cache-miss-rate": 0,
        "encoding-rate": 0,
    }
    cache = advance(source, 100)["xbzrle-cache"]
    assert cache["pages"] > 0
    assert cache["bytes"] == 1032 * cache["pages"]
    assert cache["cache-miss-rate"] == pytest.approx(1 - (64 << 20) / GIB, rel=1e-3)


def test_multifd_carries_more_than_one_channel(pair):
    rates = {"max-bandwidth": 10 * TEN_GBIT, "multifd-channels": 4}
    source, _ = pair(sim="guest-ram-used=64G", capabilities=["multifd"], **rates)
    ram = advance(source, 5)["ram"]
    assert ram["mbps"] == 40_000
    assert ram["multifd-bytes"] == pytest.approx(20 * TEN_GBIT, rel=1e-4)
    assert ram["precopy-bytes"] == 0


def test_cancelled_on_the_way(pair):
    source, _ = pair()
    advance(source, 100)
    source.execute("migrate_cancel")
    assert advance(source, 1) == {"status": "cancelled"}
    assert source.execute("query-status")["status"] == "running"


def test_a_destination_that_is_gone_is_noticed(pair, make_machine):
    source, destination = pair(sim="guest-ram-used=64G,phase-timeout=0.2")
    advance(source, 1)
    destination.execute("quit")
    source.wait_event("MIGRATION", status="failed")
    assert source.execute("query-migrate")["error-desc"].startswith("Unable to ")
    assert source.execute("query-status")["status"] == "running"


def test_a_slow_one_outlasts_the_patience_of_its_destination(pair):
    source, destination = pair(sim="guest-ram-used=64G,phase-timeout=0.4")
    advance(source, 1)
    time.sleep(1)  # longer than either waits for a silent peer
    assert destination.execute("query-migrate")["status"] == "active"
    assert advance(source, 100)["status"] == "completed"


def test_polls_instead_of_time(pair):
    source, _ = pair(sim="guest-ram-used=32G,migration-polls=4")
    left = [source.execute("query-migrate")["ram"]["remaining"] / GIB for _ in range(4)]
    rest = 0.3 * TEN_GBIT / GIB  # what the downtime is long enough for
    assert left == pytest.approx([64 - (64 - rest) * n / 4 for n in (1, 2, 3, 4)], abs=0.01)
    source.wait_event("MIGRATION", status="completed")


def test_postcopy_sends_the_rest_afterwards(pair):
    source, destination = pair(sim="guest-ram-used=64G", capabilities=["postcopy-ram"])
    left = advance(source, 10)["ram"]["remaining"]
    source.execute("migrate-start-postcopy")
    source.wait_event("MIGRATION", status="postcopy-active")
    destination.wait_event("RESUME")
    info = advance(source, 10)
    assert info["status"] == "postcopy-active"
    assert info["downtime"] == 0  # no time has passed meanwhile
    assert "expected-downtime" not in info
    assert info["ram"]["postcopy-bytes"] == pytest.approx(10 * TEN_GBIT, rel=1e-4)
    assert info["ram"]["remaining"] == pytest.approx(left - 10 * TEN_GBIT / WIRE, rel=1e-4)
    assert advance(source, 50)["status"] == "completed"


def test_a_held_migration_lets_time_pass(pair):
    source, _ = pair(sim="guest-ram-used=1G")
    source.hold("before-stop")
    assert advance(source, 10)["status"] == "active"
    source.wait_held("before-stop")
    source.release()
    assert advance(source, 1)["status"] == "completed"


def test_a_pause_before_the_switchover_lets_time_pass(pair):
    source, _ = pair(capabilities=["pause-before-switchover"])
    info = advance(source, 1000)
    assert info["status"] == "pre-switchover"
    source.execute("migrate-continue", state="pre-switchover")
    info = advance(source, 1)
    assert info["status"] == "completed"
    assert info["downtime"] > 700_000  # most of the time it stood still


RAM_11 = {
    *("total", "postcopy-requests", "dirty-sync-count", "multifd-bytes", "pages-per-second"),
    *("downtime-bytes", "page-size", "remaining", "postcopy-bytes", "mbps", "transferred"),
    *("dirty-sync-missed-zero-copy", "precopy-bytes", "duplicate", "dirty-pages-rate"),
    *("normal-bytes", "normal"),
}
ACTIVE = {"expected-downtime", "status", "setup-time", "total-time", "ram"}
COMPLETED = {"status", "setup-time", "downtime", "total-time", "ram"}


@pytest.mark.parametrize(
    ("profile", "active", "ram", "passes"),
    [
        ("11.1", {*ACTIVE, "remaining"}, RAM_11, [2]),
        ("7.2", ACTIVE, {*RAM_11, "skipped"}, [1, 2, 3]),
    ],
)
def test_members_are_those_of_the_version(pair, profile, active, ram, passes):
    source, _ = pair(sim="guest-ram-used=8G", profile=profile)
    info = advance(source, 1)
    assert (set(info), set(info["ram"])) == (active, ram)
    info = advance(source, 10)
    assert info["status"] == "completed"
    assert (set(info), set(info["ram"])) == (COMPLETED, ram)
    assert info["ram"]["dirty-sync-count"] == passes[-1]
    assert [text for text, _ in moments(source, "MIGRATION_PASS")] == passes
    assert info["ram"]["normal"] + info["ram"]["duplicate"] == 64 * GIB // 4096
    spent = info["total-time"] - info["setup-time"]
    assert info["ram"]["mbps"] == pytest.approx(info["ram"]["transferred"] * 8 / spent / 1000)


def test_the_dirty_rate_can_be_measured(make_machine):
    machine = make_machine("-machine", "q35", "-m", "8G", "-sim", "clock=manual")
    machine.execute("x-sim-set-guest", dirty_rate=500 << 20)
    for run_state, seen in (("running", 500), ("paused", 0)):
        assert machine.execute("query-status")["status"] == run_state
        machine.execute("calc-dirty-rate", calc_time=2)
        assert machine.execute("query-dirty-rate")["status"] == "measuring"
        machine.execute("x-sim-clock-advance", ms=2000)
        found = machine.execute("query-dirty-rate")
        assert (found["status"], found["dirty-rate"]) == ("measured", seen)
        machine.execute("stop")


@pytest.mark.parametrize("name", ["dirty-rate", "ram-used", "migration-polls"])
def test_less_than_nothing_is_refused(make_machine, name):
    machine = make_machine("-machine", "none")
    with pytest.raises(QMPError, match=f"Parameter '{name}' expects a non-negative value"):
        machine.execute("x-sim-set-guest", {name: -1})
