"""Auto-converge: when the guest is throttled, and how much."""

import pytest

from qemu_sim.migration.throttle import Throttle, Throttling

RULES = Throttling(initial=20, increment=10, maximum=99, threshold=50, tailslow=False)


def judged(times, rules=RULES, dirtied=200.0, transferred=100.0):
    throttle = Throttle()
    seen = []
    for _ in range(times):
        throttle.judge(dirtied, transferred, rules)
        seen.append(throttle.percentage)
    return seen


def test_every_second_bad_period_takes_more():
    assert judged(6) == [0, 20, 20, 30, 30, 40]


def test_it_never_takes_all():
    assert judged(40)[-1] == 99
    assert judged(40, RULES._replace(maximum=45))[-1] == 45


def test_what_is_at_the_threshold_is_fast_enough():
    assert judged(9, dirtied=50.0)[-1] == 0
    assert judged(2, dirtied=50.1)[-1] == 20


def test_the_count_of_bad_periods_outlives_a_good_one():
    throttle = Throttle()
    for dirtied in (200.0, 0.0, 200.0):
        throttle.judge(dirtied, 100.0, RULES)
    assert throttle.percentage == 20


@pytest.mark.parametrize(("dirtied", "after"), [(51.0, 22), (60.0, 30), (500.0, 30)])
def test_tailslow_takes_no_more_than_it_needs(dirtied, after):
    # 80 % are left to the guest; at 51 dirtied of 50 allowed it should have 50/51 of them.
    rules = RULES._replace(tailslow=True)
    assert judged(4, rules, dirtied=dirtied)[-1] == after
