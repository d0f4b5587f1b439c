"""The RAM model beside the formula, and that looking at it changes nothing."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qemu_sim.clock import MILLISECOND, SECOND
from qemu_sim.migration.ram_model import COST, PAGE, Conditions, RamModel
from qemu_sim.migration.throttle import Throttling

GIB = 1 << 30
MIB = 1 << 20
WIRE = COST["normal"] / PAGE  # bytes on the wire for one of RAM
TEN_GBIT = 1.25e9
RULES = Throttling(initial=20, increment=10, maximum=99, threshold=50, tailslow=False)


def conditions(bandwidth=TEN_GBIT, dirty_rate=0.0, working_set=64 * GIB, limit=0.3, **more):
    return Conditions(bandwidth, bandwidth, limit, dirty_rate, working_set, **more)


def run(model, until=1 << 60):
    """Go from moment to moment; return their times."""
    moments = []
    while (moment := model.next_moment()) is not None and moment <= until:
        moments.append(moment)
        model.settle(moment)
    return moments


def test_64_gib_at_10_gbit_with_1_gb_a_second_dirtied():
    ram, dirtied, limit = 64 * GIB, 1e9, 0.3
    model = RamModel(ram, ram, conditions(dirty_rate=dirtied), now=0)
    moments = run(model)
    bandwidth = TEN_GBIT / WIRE  # of RAM
    at = (ram - TEN_GBIT * limit) / (bandwidth - dirtied)
    assert moments[-1] / SECOND == pytest.approx(at, abs=1e-3)
    assert at == pytest.approx(277, abs=1)
    # Each pass takes as long as it takes to send what the one before left.
    lengths = [ram / bandwidth * (dirtied / bandwidth) ** number for number in range(len(moments))]
    for number, moment in enumerate(moments[:-1]):
        assert moment / SECOND == pytest.approx(sum(lengths[: number + 1]), abs=1e-3)
    # Then the guest is stopped, and the rest takes the downtime.
    now = moments[-1]
    assert model.converged
    assert model.found == pytest.approx(TEN_GBIT * limit, abs=8 * PAGE)
    model.stop(now, counts=False)
    model.send_rest(now, "downtime")
    assert model.next_moment() - now == pytest.approx(limit * WIRE * SECOND, rel=1e-4)
    run(model)
    amounts = model.at(now + SECOND)
    assert model.finished
    assert amounts.remaining == 0
    assert amounts.passes == len(moments) + 1
    assert amounts.sent["downtime"] == pytest.approx(TEN_GBIT * limit * WIRE, rel=1e-4)
    assert amounts.transferred == pytest.approx(TEN_GBIT * (at + limit * WIRE), rel=1e-4)


def test_a_guest_faster_than_the_channel_never_converges():
    model = RamModel(GIB, GIB, conditions(dirty_rate=2e9, working_set=GIB), now=0)
    moments = run(model, until=3600 * SECOND)
    assert not model.converged
    lengths = [after - before for before, after in itertools.pairwise(moments)]
    assert lengths[-1] / SECOND == pytest.approx(GIB * WIRE / TEN_GBIT, rel=1e-6)
    assert model.dirty_pages_rate == pytest.approx(GIB / PAGE / (lengths[-1] / SECOND), rel=0.01)


def test_a_small_working_set_converges_however_fast_it_is_written():
    set_size = 300 * MIB  # fits into 0.3 s
    model = RamModel(8 * GIB, 8 * GIB, conditions(dirty_rate=9e9, working_set=set_size), now=0)
    (end,) = run(model)
    left = TEN_GBIT * 0.3 - set_size
    assert end / SECOND == pytest.approx((8 * GIB - left) * WIRE / TEN_GBIT, abs=1e-3)


def test_an_idle_machine_that_used_nothing_takes_a_few_ms():
    model = RamModel(128 * MIB, 4096, conditions(bandwidth=128 * MIB), now=0)
    (end,) = run(model)
    assert end < 3 * MILLISECOND
    amounts = model.at(end)
    assert model.converged
    assert model.found == 0
    assert amounts.pages == {"normal": 1, "zero": 32767}
    assert amounts.transferred == 4104 + 9 * 32767


def test_ram_that_travels_otherwise_takes_no_time():
    model = RamModel(0, 0, conditions(), now=7)
    assert run(model) == [7]
    model.stop(7, counts=True)
    model.send_rest(7, "downtime")
    assert run(model) == [7]
    assert model.at(7).transferred == 0


def test_nothing_converges_before_the_bandwidth_is_known():
    model = RamModel(GIB, GIB, conditions(limit=2000.0), now=5)
    assert run(model) == [5 + 100 * MILLISECOND]


def test_more_downtime_or_bandwidth_ends_it_at_once():
    model = RamModel(4 * GIB, 4 * GIB, conditions(dirty_rate=2e9, working_set=4 * GIB), now=0)
    run(model, until=20 * SECOND)
    model.change(conditions(dirty_rate=2e9, working_set=4 * GIB, limit=60.0), 20 * SECOND)
    assert run(model) == [20 * SECOND]
    assert model.converged


def test_auto_converge_makes_it_converge():
    busy = conditions(dirty_rate=2e9, working_set=8 * GIB, throttling=RULES)
    model = RamModel(8 * GIB, 8 * GIB, busy, now=0)
    seen = []
    while (moment := model.next_moment()) is not None:
        model.settle(moment)
        seen.append(model.throttle.percentage)
    assert seen[:6] == [0, 20, 20, 30, 30, 40]
    assert model.converged
    # It was taken so much that it dirties half of what is sent, or has just converged.
    assert 2e9 * (100 - seen[-1]) / 100 < TEN_GBIT


def test_a_long_pass_looks_for_dirty_pages_in_between():
    busy = conditions(dirty_rate=1e9, throttling=RULES, sync_period=5 * SECOND)
    model = RamModel(64 * GIB, 64 * GIB, busy, now=0)
    moments = run(model)
    first = 64 * GIB * WIRE / TEN_GBIT
    assert moments[0] / SECOND == pytest.approx(first, abs=1e-3)
    assert moments[1] - moments[0] == 5 * SECOND
    # Throttling is felt each ten seconds instead of each second pass.
    assert model.throttle.percentage >= 30
    assert moments[-1] / SECOND < (64 * GIB - 0.375e9) / (TEN_GBIT / WIRE - 1e9)


def test_xbzrle_sends_less_of_what_is_in_its_cache():
    def bytes_of_pass_two(cache):
        busy = conditions(dirty_rate=5e8, working_set=2 * GIB, limit=0.0, xbzrle_cache=cache)
        model = RamModel(4 * GIB, 4 * GIB, busy, now=0)
        first = model.next_moment()
        model.settle(first)
        second = model.next_moment()
        return model.at(second), (second - first) / SECOND

    without, long = bytes_of_pass_two(0)
    half, shorter = bytes_of_pass_two(GIB)
    assert without.pages["encoded"] == without.pages["missed"] == 0
    assert half.pages["encoded"] == pytest.approx(half.pages["missed"], abs=1)
    assert shorter / long == pytest.approx(
        (COST["normal"] + COST["encoded"]) / 2 / COST["normal"], rel=1e-4
    )


def test_multifd_bytes_are_counted_apart():
    model = RamModel(GIB, MIB, conditions(multifd=frozenset({"normal"})), now=0)
    sent = model.at(run(model)[0]).sent
    assert sent == {"multifd": 256 * COST["normal"], "precopy": (GIB // PAGE - 256) * COST["zero"]}


def test_postcopy_sends_the_rest_afterwards():
    model = RamModel(GIB, GIB, conditions(), now=0)
    at = 400 * MILLISECOND
    left = model.at(at).remaining
    model.stop(at, counts=False)
    assert model.next_moment() is None
    model.change(conditions(bandwidth=1e8), at)
    model.send_rest(at + SECOND, "postcopy")
    (end,) = run(model)
    assert (end - at - SECOND) / SECOND == pytest.approx(left * WIRE / 1e8)
    assert model.at(end).sent["postcopy"] == left // PAGE * COST["normal"]


# Whatever happens in between.

times = st.integers(0, 60 * SECOND)
changes = st.builds(
    conditions,
    bandwidth=st.sampled_from([1e8, 5e8, TEN_GBIT]),
    dirty_rate=st.sampled_from([0.0, 1e8, 7e8, 3e9]),
    working_set=st.sampled_from([0, 100 * MIB, 2 * GIB]),
    limit=st.sampled_from([0.05, 0.1, 0.3, 2.0]),
    throttling=st.sampled_from([None, RULES]),
    sync_period=st.sampled_from([1 << 62, 5 * SECOND]),
)


def scripted(script, looks):
    """Play changes [(time, conditions)], looking at it at the times `looks` as well."""
    model = RamModel(2 * GIB, GIB, conditions(), now=0)
    steps = sorted([(at, 0, change) for at, change in script] + [(at, 1, None) for at in looks])
    seen = []
    for at, _, change in steps:
        if change is None:
            seen.append(model.at(at))
        else:
            model.change(change, at)
    seen.append(model.at(60 * SECOND))
    return seen, model


scripts = st.lists(st.tuples(times, changes), max_size=4, unique_by=lambda step: step[0])


@settings(deadline=None)
@given(scripts, st.lists(times, max_size=20))
def test_looking_at_it_changes_nothing(script, looks):
    (*_, seen), model = scripted(script, looks)
    (*_, unseen), other = scripted(script, [])
    assert seen == unseen
    assert (model.converged, model.found) == (other.converged, other.found)
    assert model.throttle.percentage == other.throttle.percentage


@settings(deadline=None)
@given(scripts, st.lists(times, min_size=2, max_size=20))
def test_what_is_counted_only_grows(script, looks):
    seen, _ = scripted(script, looks)
    for before, after in itertools.pairwise(seen):
        assert after.passes >= before.passes
        assert after.transferred >= before.transferred
        assert after.pages >= before.pages
        assert after.sent >= before.sent


@settings(deadline=None)
@given(scripts, st.lists(times, min_size=1, max_size=5))
def test_bytes_are_those_of_the_pages(script, looks):
    for amounts in scripted(script, looks)[0]:
        assert amounts.transferred == sum(COST[kind] * n for kind, n in amounts.pages.items())
        assert 0 <= amounts.remaining <= 2 * GIB
        if amounts.passes == 1:
            assert amounts.pages.total() * PAGE + amounts.remaining == 2 * GIB


@settings(deadline=None)
@given(st.integers(1, 1 << 50), st.sampled_from([1e8, TEN_GBIT, 1e12]))
def test_any_size_takes_as_long_as_its_pages(size, bandwidth):
    model = RamModel(size, size // 2, conditions(bandwidth, limit=0.0), now=0)
    moments = run(model)
    wire = model.at(moments[-1]).transferred
    pages = Counter(normal=min(-(-(size // 2) // PAGE), size // PAGE))
    pages["zero"] = size // PAGE - pages["normal"]
    assert wire == sum(COST[kind] * n for kind, n in pages.items())
    expected = max(wire / bandwidth, MILLISECOND / SECOND if wire else 0)
    assert moments[-1] / SECOND == pytest.approx(expected, rel=1e-6, abs=1e-6)
