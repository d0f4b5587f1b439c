"""Packets larger than a frame: reassembled, answered in fragments, handed over half read."""

import json

import pytest

from qemu_sim.guest.network import Network

MAC = bytes.fromhex("525400123456")


@pytest.fixture
def network():
    return Network(MAC)


def fragments4(frames, message, size=1480):
    for start in range(0, len(message), size):
        more = 0x2000 if start + size < len(message) else 0
        packet = frames.ipv4(1, message[start : start + size], flags=more | start // 8)
        yield frames.ethernet(0x800, packet)


def test_a_large_ping_is_reassembled_and_answered_in_fragments(network, frames):
    message = frames.icmp(bytes(range(250)) * 16)
    replies = [reply for frame in fragments4(frames, message) for reply in network.receive(frame)]
    assert [len(reply) for reply in replies] == [1514, 1514, 14 + 20 + len(message) - 2 * 1480]
    assert [int.from_bytes(reply[20:22], "big") for reply in replies] == [0x2000, 0x2000 | 185, 370]
    assert len({reply[18:20] for reply in replies}) == 1
    assert b"".join(reply[34:] for reply in replies)[4:] == message[4:]


@pytest.mark.parametrize(
    ("size", "packets"), [(1460, 1), (1461, 2), (2896, 2), (2897, 3), (60000, 42)]
)
def test_a_large_ipv6_ping_is_reassembled_and_answered_in_fragments(network, frames, size, packets):
    message = frames.icmpv6(bytes(range(256)) * 250)[:size]
    message = frames.icmpv6(message[8:])
    replies = []
    for start in range(0, size, 1024):
        more = start + 1024 < size
        piece = (
            b"\x3a\0" + (start | more).to_bytes(2, "big") + b"same" + message[start : start + 1024]
        )
        assert replies == []
        replies = network.receive(frames.ethernet(0x86DD, frames.ipv6(44, piece)))
    assert len(replies) == packets
    assert max(len(reply) for reply in replies) <= 1514
    if packets == 1:
        return
    places = [int.from_bytes(reply[56:58], "big") for reply in replies]
    assert places == [n * 1448 | (n < packets - 1) for n in range(packets)]
    assert {reply[54] for reply in replies} == {58}
    assert len({reply[58:62] for reply in replies}) == 1
    assert b"".join(reply[62:] for reply in replies)[4:] == message[4:]


def test_half_a_datagram_is_handed_over(network, frames):
    """What the source has read of a datagram is not in the kernel any more."""
    first, *rest = fragments4(frames, frames.icmp(bytes(4000)))
    assert network.receive(first) == []
    heir = Network(MAC)
    heir.load(json.loads(json.dumps(network.save())))
    assert len([reply for frame in rest for reply in heir.receive(frame)]) == 3
