"""What a message tells, and what it cannot."""

import pytest

from qemu_sim.wire import vmmessage


@pytest.mark.parametrize("nonsense", [None, "1", [1], {}, 1.5, -1, 1 << 63])
def test_a_time_that_is_none(nonsense):
    assert vmmessage.time_in({"blackout-us": nonsense}, "blackout-us") is None


def test_a_time():
    assert vmmessage.time_in({"blackout-us": 0}, "blackout-us") == 0
    assert vmmessage.time_in({}, "blackout-us") is None
