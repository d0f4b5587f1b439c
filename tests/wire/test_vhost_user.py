"""vhost-user messages: what is encoded is decoded, however it is cut; nonsense is refused."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd
from qemu_sim.wire import vhost_user
from qemu_sim.wire.vhost_user import Inflight, MessageReader, Region, Request, VringAddress

u64 = st.integers(0, 2**64 - 1)
u32 = st.integers(0, 2**32 - 1)
u16 = st.integers(0, 2**16 - 1)


def test_layout_on_the_wire():
    message = vhost_user.encode(Request.SET_VRING_NUM, vhost_user.encode_vring_state(1, 128), 8)
    assert message.hex() == "0800000009000000080000000100000080000000"


@given(u32, u64, u64, u64)
def test_vring_address(index, desc, used, avail):
    address = VringAddress(index, desc, used, avail)
    assert vhost_user.decode_vring_address(vhost_user.encode_vring_address(address)) == address


@given(st.lists(st.builds(Region, u64, u64, u64, u64), min_size=1, max_size=32))
def test_mem_table(regions):
    assert vhost_user.decode_mem_table(vhost_user.encode_mem_table(regions)) == regions


@given(u32, st.binary(max_size=256))
def test_config(offset, data):
    assert vhost_user.decode_config(vhost_user.encode_config(offset, data)) == (offset, data)


@given(st.builds(Inflight, u64, u64, u16, u16))
def test_inflight(inflight):
    payload = vhost_user.encode_inflight(inflight)
    assert len(payload) == 24
    assert vhost_user.decode_inflight(payload) == inflight
    assert vhost_user.decode_inflight(payload[:20]) == inflight


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (vhost_user.decode_u64, bytes(7)),
        (vhost_user.decode_vring_state, bytes(9)),
        (vhost_user.decode_vring_address, bytes(8)),
        (vhost_user.decode_inflight, bytes(21)),
        (vhost_user.decode_config, bytes(4)),
        (vhost_user.decode_config, vhost_user.encode_config(0, bytes(257))),
        (vhost_user.decode_config, vhost_user.encode_config(0, bytes(9))[:-1]),
        (vhost_user.decode_mem_table, bytes(4)),
        (vhost_user.decode_mem_table, bytes(8)),
        (vhost_user.decode_mem_table, b"\x02" + bytes(7 + 32)),
        (vhost_user.decode_mem_table, b"\xff" * 8 + bytes(4000)),
    ],
)
def test_wrong_sizes(decode, payload):
    with pytest.raises(WireError):
        decode(payload)


def eventfds(count):
    return [Fd(os.eventfd(0)) for _ in range(count)]


@given(
    st.lists(st.sampled_from(["u64", "kick", "no-fd", "table"]), max_size=6),
    st.lists(st.integers(1, 100), min_size=1),
)
def test_any_chunking(kinds, sizes):
    """Descriptors come with the first byte of the message they belong to, or earlier bytes."""
    payloads = {
        "u64": (Request.SET_FEATURES, vhost_user.encode_u64(7), 0),
        "kick": (Request.SET_VRING_KICK, vhost_user.encode_u64(1), 1),
        "no-fd": (Request.SET_VRING_CALL, vhost_user.encode_u64(1 | vhost_user.NO_FD), 0),
        "table": (
            Request.SET_MEM_TABLE,
            vhost_user.encode_mem_table([Region(0, 1, 2, 3), Region(1, 1, 2, 3)]),
            2,
        ),
    }
    stream, arrivals = b"", []
    for kind in kinds:
        request, payload, count = payloads[kind]
        arrivals += [(len(stream), fd) for fd in eventfds(count)]
        stream += vhost_user.encode(request, payload)
    sent = [fd for _, fd in arrivals]
    reader, messages, position, sizes = MessageReader(), [], 0, itertools.cycle(sizes)
    while position < len(stream):
        end = position + next(sizes)
        fds = [fd for offset, fd in arrivals if position <= offset < end]
        reader.feed(stream[position:end], fds)
        while (message := reader.next()) is not None:
            messages.append(message)
        position = end
    assert [(m.request, m.payload, len(m.fds)) for m in messages] == [payloads[k] for k in kinds]
    assert [fd for message in messages for fd in message.fds] == sent
    assert reader.empty
    for fd in sent:
        fd.close()


@given(st.binary(max_size=200), st.integers(0, 2))
def test_garbage_is_parsed_or_refused(garbage, count):
    reader = MessageReader()
    fds = eventfds(count)
    reader.feed(garbage, fds)
    try:
        while (message := reader.next()) is not None:
            for fd in message.fds:
                fd.close()
    except WireError:
        pass
    reader.close()
    assert all(fd.closed for fd in fds)
    assert reader.empty


def test_descriptors_that_nothing_announces():
    reader = MessageReader()
    reader.feed(vhost_user.encode(Request.SET_OWNER), eventfds(1))
    with pytest.raises(WireError, match="1 descriptors more than SET_OWNER takes"):
        reader.next()
    reader.close()


def test_none_is_forgotten_when_there_are_too_many():
    reader = MessageReader()
    fds = eventfds(3)
    reader.feed(vhost_user.encode(Request.SET_VRING_KICK, vhost_user.encode_u64(0)), fds)
    with pytest.raises(WireError, match="2 descriptors more than SET_VRING_KICK takes"):
        reader.next()
    reader.close()
    assert all(fd.closed for fd in fds)


def test_descriptors_that_did_not_come():
    reader = MessageReader()
    reader.feed(vhost_user.encode(Request.SET_VRING_KICK, vhost_user.encode_u64(0)))
    with pytest.raises(WireError, match="SET_VRING_KICK needs 1 descriptors, 0 came"):
        reader.next()


def test_the_answer_to_get_inflight_has_a_descriptor_if_there_is_an_area():
    def count(size):
        payload = vhost_user.encode_inflight(Inflight(size, 0, 1, 128))
        return vhost_user.expected_fds(Request.GET_INFLIGHT_FD, vhost_user.REPLY, payload)

    assert (count(0), count(4096)) == (0, 1)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("010000000200000000000000", "version 2 is not 1"),
        ("010000000100000001100000", "GET_FEATURES of 4097 bytes"),
        ("ff00000001000000ffffffff", "255 of 4294967295 bytes"),
    ],
)
def test_bad_headers(header, words):
    reader = MessageReader()
    reader.feed(bytes.fromhex(header))
    with pytest.raises(WireError, match=words):
        reader.next()
