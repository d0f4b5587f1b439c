"""The queue between machine and broker."""

from __future__ import annotations

from qemu_sim.mqtt.outbox import Outbox


def put(outbox, *names):
    for name in names:
        outbox.put({"event": name})


def take(outbox):
    entry = outbox.first()
    outbox.sent(entry)
    return entry.sequence, entry.event["event"]


def test_events_are_numbered_and_leave_in_order():
    outbox = Outbox(capacity=2)
    put(outbox, "STOP", "RESUME")
    assert [take(outbox), take(outbox)] == [(1, "STOP"), (2, "RESUME")]
    assert not outbox


def test_the_oldest_make_room_and_are_counted():
    outbox = Outbox(capacity=2)
    put(outbox, "A", "B", "C", "D")
    assert outbox.dropped == 2
    assert [take(outbox), take(outbox)] == [(3, "C"), (4, "D")]


def test_what_made_room_while_it_was_published_was_not_lost():
    outbox = Outbox(capacity=1)
    put(outbox, "A")
    entry = outbox.first()
    put(outbox, "B")
    outbox.sent(entry)
    assert outbox.dropped == 0
    assert take(outbox) == (2, "B")
