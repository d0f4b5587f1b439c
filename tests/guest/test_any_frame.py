"""No frame makes the guest raise."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from qemu_sim.guest.network import Network

MAC = bytes.fromhex("525400123456")


def test_good_frames_are_good(frames):
    for frame in frames.good():
        assert len(Network(MAC).receive(frame)) == 1


def any_frame(draw, frames):
    """Bytes; or a good frame, cut and changed; or any payload under headers that are right."""
    kind = draw(st.sampled_from(["bytes", "spoilt", "ipv4", "ipv6", "icmpv6"]))
    payload = draw(st.binary(max_size=60))
    if kind == "spoilt":
        frame = bytearray(draw(st.sampled_from(frames.good())))
        for position, value in draw(
            st.lists(st.tuples(st.integers(0, 41), st.integers(0, 255)), max_size=4)
        ):
            frame[position] = value
        return bytes(frame[: draw(st.integers(0, len(frame)))])
    protocol = draw(st.sampled_from([1, 17, 44, 58]))
    if kind == "ipv4":
        return frames.ethernet(
            0x800, frames.ipv4(protocol, payload, flags=draw(st.integers(0, 0xFFFF)))
        )
    if kind == "ipv6":
        return frames.ethernet(0x86DD, frames.ipv6(protocol, payload, hops=255))
    if kind == "icmpv6":
        message = frames.icmpv6(payload, kind=draw(st.sampled_from([128, 133, 134, 135, 136])))
        return frames.ethernet(0x86DD, frames.ipv6(58, message, hops=255))
    return payload


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_frame_makes_it_raise(frames, data):
    guests = [Network(MAC), Network(MAC, frozenset({"10.0.0.2"}), frozenset({"fd00::2"}))]
    for _ in range(data.draw(st.integers(1, 5))):
        frame = any_frame(data.draw, frames)
        for guest in guests:
            for answer in guest.receive(frame):
                assert answer[:12] == frame[6:12] + MAC
    for guest in guests:
        Network(MAC).load(json.loads(json.dumps(guest.save())))
