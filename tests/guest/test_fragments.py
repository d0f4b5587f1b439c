"""Reassembly, in any order, and within bounds."""

import json

from hypothesis import given
from hypothesis import strategies as st

from qemu_sim.guest.fragments import Fragments

KEY = b"key"


def cut(payload, size):
    return [
        (start, start + size < len(payload), payload[start : start + size])
        for start in range(0, len(payload), size)
    ]


@given(st.data(), st.binary(min_size=1, max_size=200), st.sampled_from([8, 16, 64]))
def test_any_order_gives_the_payload_once_it_is_complete(data, payload, size):
    pieces = data.draw(st.permutations(cut(payload, size)))
    fragments = Fragments()
    results = [fragments.add(KEY, *piece) for piece in pieces]
    assert results == [None] * (len(pieces) - 1) + [payload]
    assert fragments.save() == []


def test_datagrams_do_not_mix():
    fragments = Fragments()
    assert fragments.add(b"a", 0, True, b"A" * 8) is None
    assert fragments.add(b"b", 8, False, b"B") is None
    assert fragments.add(b"a", 8, False, b"a") == b"AAAAAAAAa"


def test_a_fragment_may_come_twice():
    fragments = Fragments()
    for _ in range(2):
        assert fragments.add(KEY, 0, True, b"12345678") is None
    assert fragments.add(KEY, 8, False, b"9") == b"123456789"


def test_contradictions_drop_the_datagram():
    contradictions = [
        [(0, True, b"12345678"), (0, True, b"overlap!")],
        [(0, True, bytes(16)), (8, True, bytes(16))],
        [(8, False, b"end"), (16, False, b"another end")],
        [(8, False, b"end"), (16, True, bytes(8))],
        [(0, True, b"seven..")],
        [(65528, False, b"beyond 64 KiB")],
        [(0, False, b"")],
    ]
    for pieces in contradictions:
        fragments = Fragments()
        for piece in pieces:
            assert fragments.add(KEY, *piece) is None
        assert fragments.save() == []


def test_what_never_completes_is_pushed_out():
    fragments = Fragments()
    for number in range(1000):
        fragments.add(number.to_bytes(2, "big"), 0, True, bytes(8))
    kept = [part["key"] for part in fragments.save()]
    assert kept == [f"{number:04x}" for number in range(968, 1000)]


def test_many_tiny_pieces_are_given_up():
    fragments = Fragments()
    for number in range(300):
        fragments.add(KEY, number * 8, True, bytes(8))
    assert len(fragments.save()[0]["pieces"]) < 256


def test_another_process_goes_on_with_half_a_datagram():
    first, second = Fragments(), Fragments()
    first.add(KEY, 8, False, b"half")
    second.load(json.loads(json.dumps(first.save())))
    assert second.add(KEY, 0, True, b"the 1st ") == b"the 1st half"
