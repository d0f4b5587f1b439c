"""x-sim-clock-advance: what happens in the time that passes has happened at the answer."""

import pytest

from qemu_sim.testing.client import QMPError

MANUAL = ("-machine", "q35", "-m", "64", "-sim", "clock=manual")


def reset_events(make_machine, name):
    """What a machine tells when it is reset three times in a second."""
    machine = make_machine(*MANUAL, name=name)
    for _ in range(3):
        machine.execute("system_reset")
        machine.execute("x-sim-clock-advance", ms=250)
    return machine.events


def test_events_are_twice_the_same(make_machine):
    first, second = (reset_events(make_machine, name) for name in ("first", "second"))
    assert first == second
    resets = [event["timestamp"] for event in first if event["event"] == "RESET"]
    # Each by the client, and 10 ms later by the firmware.
    assert [(each["seconds"], each["microseconds"]) for each in resets] == [
        (1_000_000_000, at * 1000) for at in (0, 10, 250, 260, 500, 510)
    ]


def test_time_stands_still_otherwise(make_machine):
    machine = make_machine(*MANUAL)
    for _ in range(2):
        machine.execute("stop")
        machine.execute("cont")
    assert len({str(event["timestamp"]) for event in machine.events}) == 1


def test_a_real_clock_cannot_be_advanced(make_machine):
    machine = make_machine("-machine", "none", "-sim", "clock=10x")
    with pytest.raises(QMPError, match="The clock is not a manual one"):
        machine.execute("x-sim-clock-advance", ms=1)


def test_time_does_not_go_back(make_machine):
    machine = make_machine(*MANUAL)
    with pytest.raises(QMPError, match="Parameter 'ms' expects a non-negative value"):
        machine.execute("x-sim-clock-advance", ms=-1)


def test_a_clock_that_is_none_ends_the_start(make_machine):
    with pytest.raises(Exception, match=r"-sim: Parameter 'clock' expects 'real', 'manual' or"):
        make_machine("-machine", "none", "-sim", "clock=fast")
