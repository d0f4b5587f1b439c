"""One event a second of each kind, as measured on a real QEMU."""

from qemu_sim.wire.event_throttle import EventThrottle

V11, V7 = (11, 1, 3), (7, 2, 22)
MS = 1_000_000


def event(name, number=0, **data):
    return {"event": name, "data": {"number": number, **data}}


def test_measured_sequence():
    """RTC_CHANGE at these times is sent at 0, 1 and 2 s with those of 0, .75 and 1.25 s."""
    throttle = EventThrottle(V11)
    sent = []
    for at in (0, 250, 500, 750, 1000, 1250, 2000, 3000, 4000):
        sent += [(at, due["data"]["number"]) for due in throttle.due(at * MS)]
        if at < 2000 and throttle.admit(event("RTC_CHANGE", at), at * MS):
            sent.append((at, at))
    assert sent == [(0, 0), (1000, 750), (2000, 1250)]
    assert throttle.deadline is None


def test_others_are_never_held_back():
    throttle = EventThrottle(V11)
    assert all(throttle.admit({"event": "STOP"}, 0) for _ in range(9))
    assert throttle.deadline is None


def test_sources_are_told_apart():
    throttle = EventThrottle(V11)
    assert throttle.admit(event("VSERPORT_CHANGE", id="a"), 0)
    assert throttle.admit(event("VSERPORT_CHANGE", id="b"), 500 * MS)
    assert not throttle.admit(event("VSERPORT_CHANGE", 1, id="b"), 600 * MS)
    assert throttle.due(1000 * MS) == []
    assert throttle.deadline == 1500 * MS
    assert throttle.due(1500 * MS) == [event("VSERPORT_CHANGE", 1, id="b")]


def test_version_decides_what_is_limited():
    for version, second in ((V11, False), (V7, True)):
        throttle = EventThrottle(version)
        assert throttle.admit(event("BLOCK_IO_ERROR", **{"qom-path": "/a"}), 0)
        assert throttle.admit(event("BLOCK_IO_ERROR", **{"qom-path": "/a"}), 0) is second


def test_an_event_after_a_quiet_second_goes_out_at_once():
    throttle = EventThrottle(V11)
    assert throttle.admit(event("WATCHDOG"), 0)
    assert throttle.due(1000 * MS) == []
    assert throttle.admit(event("WATCHDOG"), 1100 * MS)
