"""One event a second of each kind, as measured on a real QEMU."""

from qemu_sim.wire.event_throttle import EventThrottle

V11, V7 = (11, 1, 3), (7, 2, 22)


def event(name, number=0, **data):
    return {"event": name, "data": {"number": number, **data}}


def test_measured_sequence():
    """RTC_CHANGE at these times is sent at 0, 1 and 2 s with those of 0, .75 and 1.25 s."""
    throttle = EventThrottle(V11)
    sent = []
    for at in (0, 0.25, 0.5, 0.75, 1.0, 1.25, 2.0, 3.0, 4.0):
        sent += [(at, due["data"]["number"]) for due in throttle.due(at)]
        if at < 2 and throttle.admit(event("RTC_CHANGE", at), at):
            sent.append((at, at))
    assert sent == [(0, 0), (1.0, 0.75), (2.0, 1.25)]
    assert throttle.deadline is None


def test_others_are_never_held_back():
    throttle = EventThrottle(V11)
    assert all(throttle.admit({"event": "STOP"}, 0) for _ in range(9))
    assert throttle.deadline is None


def test_sources_are_told_apart():
    throttle = EventThrottle(V11)
    assert throttle.admit(event("VSERPORT_CHANGE", id="a"), 0)
    assert throttle.admit(event("VSERPORT_CHANGE", id="b"), 0.5)
    assert not throttle.admit(event("VSERPORT_CHANGE", 1, id="b"), 0.6)
    assert throttle.due(1.0) == []
    assert throttle.deadline == 1.5
    assert throttle.due(1.5) == [event("VSERPORT_CHANGE", 1, id="b")]


def test_version_decides_what_is_limited():
    for version, second in ((V11, False), (V7, True)):
        throttle = EventThrottle(version)
        assert throttle.admit(event("BLOCK_IO_ERROR", **{"qom-path": "/a"}), 0)
        assert throttle.admit(event("BLOCK_IO_ERROR", **{"qom-path": "/a"}), 0) is second


def test_an_event_after_a_quiet_second_goes_out_at_once():
    throttle = EventThrottle(V11)
    assert throttle.admit(event("WATCHDOG"), 0)
    assert throttle.due(1.0) == []
    assert throttle.admit(event("WATCHDOG"), 1.1)
