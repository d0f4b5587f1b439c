"""NBD: two sessions talk to each other, however their bytes are cut; nonsense is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qemu_sim.errors import QMPError, WireError
from qemu_sim.wire import nbd
from qemu_sim.wire.nbd import Command, Error, Flags, Option, Reply, Request
from qemu_sim.wire.nbd_client import ClientSession
from qemu_sim.wire.nbd_options import Offer
from qemu_sim.wire.nbd_server import ServerSession

SIZE = 1 << 20
READ_ONLY = Flags.HAS_FLAGS | Flags.READ_ONLY
OFFERS = [
    Offer("disk", "some words", SIZE, Flags.HAS_FLAGS | Flags.SEND_FLUSH),
    Offer("cd", None, SIZE, READ_ONLY),
]
GREETING = b"NBDMAGICIHAVEOPT\x00\x03"
FLAGS = nbd.U32.pack(nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES)


def option(number, data=b""):
    return nbd.OPTION.pack(nbd.OPTION_MAGIC, number, len(data)) + data


def info(name, *kinds):
    return nbd.with_length(name) + struct.pack(f">{len(kinds) + 1}H", len(kinds), *kinds)


def contexts(name, *queries):
    return (
        nbd.with_length(name)
        + nbd.U32.pack(len(queries))
        + b"".join(nbd.with_length(query) for query in queries)
    )


class Peer:
    """A client that says what it is told, to a server's session."""

    def __init__(self, flags=FLAGS):
        self.session = ServerSession(lambda: OFFERS)
        assert self.session.take_output() == GREETING
        self.session.receive(flags)

    def ask(self, number, data=b""):
        """Return the replies to an option: kind and data of each."""
        self.session.receive(option(number, data))
        output, found = self.session.take_output(), []
        while output:
            magic, answered, reply, length = nbd.OPTION_REPLY.unpack(output[:20])
            assert (magic, answered) == (nbd.REPLY_MAGIC, number)
            found.append((reply, output[20 : 20 + length]))
            output = output[20 + length :]
        return found

    def go(self, name="disk", *, structured=False, allocation=False):
        if structured:
            assert self.ask(Option.STRUCTURED_REPLY) == [(Reply.ACK, b"")]
        if allocation:
            self.ask(Option.SET_META_CONTEXT, contexts(name, nbd.ALLOCATION))
        assert self.ask(Option.GO, info(name))[-1] == (Reply.ACK, b"")
        return self

    def request(self, *arguments, **more):
        """Return what comes back at once for a request that is refused."""
        assert self.session.receive(Request(*arguments, **more).encode()) == []
        return self.session.take_output()


def simple(error, cookie):
    return nbd.SIMPLE.pack(nbd.SIMPLE_MAGIC, error, cookie)


def test_exports_are_listed():
    assert Peer().ask(Option.LIST) == [
        (Reply.SERVER, b"\0\0\0\4disksome words"),
        (Reply.SERVER, b"\0\0\0\2cd"),
        (Reply.ACK, b""),
    ]


def test_an_export_is_described():
    replies = Peer().ask(Option.INFO, info("disk", nbd.Info.NAME, nbd.Info.DESCRIPTION))
    assert replies == [
        (Reply.INFO, b"\0\1disk"),
        (Reply.INFO, b"\0\2some words"),
        (Reply.INFO, struct.pack(">HIII", 3, 1, 4096, 32 << 20)),
        (Reply.INFO, struct.pack(">HQH", 0, SIZE, 5)),
        (Reply.ACK, b""),
    ]


def test_an_export_without_words_has_no_description():
    kinds = [data[:2] for _, data in Peer().ask(Option.INFO, info("cd", nbd.Info.DESCRIPTION))]
    assert kinds == [b"\0\3", b"\0\0", b""]


@pytest.mark.parametrize(
    ("number", "data", "reply"),
    [
        (Option.STARTTLS, b"", Reply.ERR_POLICY),
        (11, b"", Reply.ERR_UNSUP),  # extended headers
        (4711, b"x", Reply.ERR_UNSUP),
        (Option.LIST, b"x", Reply.ERR_INVALID),
        (Option.STRUCTURED_REPLY, b"x", Reply.ERR_INVALID),
        (Option.GO, info("nope"), Reply.ERR_UNKNOWN),
        (Option.GO, b"", Reply.ERR_INVALID),
        (Option.GO, info("disk") + b"x", Reply.ERR_INVALID),
        (Option.GO, info("disk")[:-1], Reply.ERR_INVALID),
        (Option.INFO, info("n" * 4097), Reply.ERR_INVALID),
        (Option.LIST_META_CONTEXT, contexts("disk"), Reply.ERR_INVALID),  # needs structured replies
    ],
)
def test_what_is_refused_leaves_the_client_its_choice(number, data, reply):
    peer = Peer()
    ((found, _),) = peer.ask(number, data)
    assert found == reply
    peer.go()


def test_metadata_contexts():
    peer = Peer()
    assert peer.ask(Option.STRUCTURED_REPLY) == [(Reply.ACK, b"")]
    assert [reply for reply, _ in peer.ask(Option.STRUCTURED_REPLY)] == [Reply.ERR_INVALID]
    found = (Reply.META_CONTEXT, b"\0\0\0\0base:allocation")
    nothing = [(Reply.ACK, b"")]
    for queries in ((), ("base:",), ("x:y", "base:allocation")):
        assert peer.ask(Option.LIST_META_CONTEXT, contexts("disk", *queries)) == [found, *nothing]
    assert peer.ask(Option.LIST_META_CONTEXT, contexts("disk", "qemu:")) == nothing
    assert peer.ask(Option.SET_META_CONTEXT, contexts("disk", "base:")) == nothing
    assert peer.ask(Option.SET_META_CONTEXT, contexts("disk", "base:allocation")) == [
        found,
        *nothing,
    ]
    assert peer.ask(Option.SET_META_CONTEXT, contexts("nope"))[0][0] == Reply.ERR_UNKNOWN


def test_a_client_that_aborts_is_let_go():
    peer = Peer()
    assert peer.ask(Option.ABORT) == [(Reply.ACK, b"")]
    assert peer.session.ended


@pytest.mark.parametrize(("flags", "padding"), [(0, 124), (1, 124), (3, 0)])
def test_the_old_way_to_choose(flags, padding):
    peer = Peer(nbd.U32.pack(flags))
    peer.session.receive(option(Option.EXPORT_NAME, b"cd"))
    assert peer.session.take_output() == struct.pack(">QH", SIZE, 3) + bytes(padding)
    assert peer.session.chosen == OFFERS[1]


@pytest.mark.parametrize(
    "data",
    [
        nbd.U32.pack(4),
        FLAGS + b"x" * 16,
        FLAGS + option(Option.EXPORT_NAME, b"nope"),
        FLAGS + nbd.OPTION.pack(nbd.OPTION_MAGIC, Option.LIST, (32 << 20) + 1),
        nbd.U32.pack(0) + option(Option.LIST),  # not of fixed newstyle
        FLAGS + option(Option.GO, info("disk")) + bytes(28),
        FLAGS
        + option(Option.GO, info("disk"))
        + nbd.REQUEST.pack(nbd.REQUEST_MAGIC, 0, Command.WRITE, 1, 0, (32 << 20) + 1),
    ],
)
def test_what_cannot_be_answered_ends_the_connection(data):
    session = ServerSession(lambda: OFFERS)
    with pytest.raises(WireError):
        session.receive(data)


@pytest.mark.parametrize(
    ("name", "request_", "error"),
    [
        ("disk", (4711, 0, 1), Error.EINVAL),
        ("disk", (Command.READ, SIZE - 1, 2), Error.EINVAL),
        ("disk", (Command.READ, 0, (32 << 20) + 1), Error.EINVAL),
        ("disk", (Command.READ, 0, 1, nbd.DF), Error.EINVAL),  # without structured replies
        ("disk", (Command.FLUSH, 0, 0, nbd.NO_HOLE), Error.EINVAL),
        ("disk", (Command.BLOCK_STATUS, 0, 512), Error.EINVAL),
        ("disk", (Command.WRITE_ZEROES, SIZE, 1), Error.ENOSPC),
        ("disk", (Command.TRIM, 2**64 - 1, 2**32 - 1), Error.EINVAL),
        ("cd", (Command.TRIM, 0, 1), Error.EPERM),
    ],
)
def test_requests_that_cannot_be_done(name, request_, error):
    assert Peer().go(name).request(*request_, cookie=7) == simple(error, 7)


def test_a_write_beyond_the_end_is_read_to_its_own():
    request = (Command.WRITE, SIZE - 1, 2)
    assert Peer().go().request(*request, data=b"ab", cookie=1) == simple(Error.ENOSPC, 1)


def test_a_reason_travels_in_a_structured_reply():
    peer = Peer().go("cd", structured=True)
    words = b"Export is read-only"
    assert peer.request(Command.WRITE, 0, 1, data=b"x", cookie=9) == (
        nbd.CHUNK.pack(nbd.CHUNK_MAGIC, 1, 0x8001, 9, 6 + len(words))
        + struct.pack(">IH", Error.EPERM, len(words))
        + words
    )


def test_status_is_for_those_who_asked_about_this_export():
    peer = Peer()
    peer.ask(Option.STRUCTURED_REPLY)
    peer.ask(Option.SET_META_CONTEXT, contexts("cd", nbd.ALLOCATION))
    peer.go("disk")
    assert b"not negotiated" in peer.request(Command.BLOCK_STATUS, 0, 512)
    peer = Peer().go("disk", structured=True, allocation=True)
    assert b"non-zero length" in peer.request(Command.BLOCK_STATUS, 0, 0)
    (request,) = peer.session.receive(Request(Command.BLOCK_STATUS, 0, 512, cookie=3).encode())
    peer.session.tell(request, [(100, 0), (412, 3)])
    assert peer.session.take_output() == (
        nbd.CHUNK.pack(nbd.CHUNK_MAGIC, 1, 5, 3, 20) + struct.pack(">5I", 0, 100, 0, 412, 3)
    )


def test_data_and_holes():
    peer = Peer().go("disk", structured=True)
    request = Request(Command.READ, 512, 6, cookie=2)
    peer.session.give(request, [b"ab", 4])
    assert peer.session.take_output() == (
        nbd.CHUNK.pack(nbd.CHUNK_MAGIC, 0, 1, 2, 10)
        + struct.pack(">Q", 512)
        + b"ab"
        + nbd.CHUNK.pack(nbd.CHUNK_MAGIC, 1, 2, 2, 12)
        + struct.pack(">QI", 514, 4)
    )
    peer.session.give(request, [])
    assert peer.session.take_output() == nbd.CHUNK.pack(nbd.CHUNK_MAGIC, 1, 0, 2, 0)


def test_goodbye_is_the_end():
    peer = Peer().go()
    assert peer.session.receive(Request(Command.DISC, 0, 0).encode()) == []
    assert peer.session.ended


# A client of ours.


def talk(client, server, cuts=None):
    """Let both say all they have; return the requests and the answers."""
    requests, answers = [], []
    while True:
        to_client, to_server = server.take_output(), client.take_output()
        if not to_client and not to_server:
            return requests, answers
        for piece in pieces(to_client, cuts):
            answers += client.receive(piece)
        for piece in pieces(to_server, cuts):
            requests += server.receive(piece)


def pieces(data, cuts):
    if cuts is None:
        return [data]
    ends = [*sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(st.lists(st.integers(0, 200)))
def test_requests_and_answers(cuts):
    client, server = ClientSession("disk"), ServerSession(lambda: OFFERS)
    talk(client, server, cuts)
    assert (client.is_open, client.size, client.flags) == (True, SIZE, OFFERS[0].flags)
    read = client.request(Command.READ, 512, 3)
    write = client.request(Command.WRITE, 1024, data=b"data")
    requests, _ = talk(client, server, cuts)
    assert requests == [
        Request(Command.READ, 512, 3, cookie=read),
        Request(Command.WRITE, 1024, 4, cookie=write, data=b"data"),
    ]
    server.fail(requests[1], Error.ENOSPC)
    server.give(requests[0], [b"a", 2])
    assert talk(client, server, cuts)[1] == [(write, Error.ENOSPC, b""), (read, 0, b"a\0\0")]
    client.disconnect()
    talk(client, server, cuts)
    assert server.ended


def test_an_export_that_is_not_there():
    with pytest.raises(QMPError, match=r"^Requested export not available$"):
        talk(ClientSession("nope"), ServerSession(lambda: OFFERS))


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply.ERR_POLICY, "Denied by server for option 7"),
        (1 << 31 | 5, "Server requires TLS for option 7"),
        (1 << 31 | 99, "Unknown error code when asking for option 7"),
    ],
)
def test_a_server_that_refuses(reply, words):
    client = ClientSession("disk")
    client.receive(GREETING)
    with pytest.raises(QMPError, match=words):
        client.receive(nbd.OPTION_REPLY.pack(nbd.REPLY_MAGIC, Option.GO, reply, 0))


@pytest.mark.parametrize(("flags", "padding"), [(0, 124), (2, 0)])
def test_a_server_of_the_old_kind(flags, padding):
    client = ClientSession("disk")
    client.receive(b"NBDMAGICIHAVEOPT" + struct.pack(">H", flags))
    assert client.take_output() == nbd.U32.pack(flags) + option(Option.EXPORT_NAME, b"disk")
    client.receive(struct.pack(">QH", SIZE, 1) + bytes(padding))
    assert (client.is_open, client.size) == (True, SIZE)


def test_a_server_that_does_not_know_go():
    client = ClientSession("disk")
    client.receive(GREETING)
    client.take_output()
    client.receive(nbd.OPTION_REPLY.pack(nbd.REPLY_MAGIC, Option.GO, Reply.ERR_UNSUP, 0))
    assert client.take_output() == option(Option.EXPORT_NAME, b"disk")


@pytest.mark.parametrize(
    "data",
    [
        nbd.SIMPLE.pack(nbd.CHUNK_MAGIC, 0, 1),
        nbd.SIMPLE.pack(nbd.SIMPLE_MAGIC, 0, 4711),
    ],
)
def test_a_server_that_breaks_the_protocol(data):
    client, server = ClientSession("disk"), ServerSession(lambda: OFFERS)
    talk(client, server)
    client.request(Command.FLUSH)
    with pytest.raises(WireError):
        client.receive(data)


# Anybody.

BITS = (
    FLAGS,
    *(option(number, info("disk")) for number in (Option.INFO, Option.GO)),
    *(option(number) for number in range(12)),
    option(Option.SET_META_CONTEXT, contexts("disk", "base:allocation")),
    *(Request(command, 0, 4, data=b"data").encode() for command in range(9)),
    nbd.SIMPLE.pack(nbd.SIMPLE_MAGIC, 0, 1),
    nbd.OPTION_REPLY.pack(nbd.REPLY_MAGIC, Option.GO, Reply.ACK, 0),
    nbd.OPTION_REPLY.pack(nbd.REPLY_MAGIC, Option.GO, Reply.INFO, 12) + bytes(12),
)
HOSTILE = st.lists(st.sampled_from(BITS) | st.binary(max_size=40), max_size=12)


@given(HOSTILE)
def test_whatever_a_client_says_is_answered_or_a_wire_error(data):
    session = ServerSession(lambda: OFFERS)
    try:
        for piece in (FLAGS, *data):
            for request in session.receive(piece):
                assert request.command in list(Command)
    except WireError:
        pass
    session.take_output()


@given(HOSTILE)
def test_whatever_a_server_says_is_understood_or_an_error(data):
    session = ClientSession("disk")
    try:
        for piece in (GREETING, *data):
            session.receive(piece)
            if session.is_open:
                session.request(Command.READ, 0, 4)
    except (WireError, QMPError):
        pass
    session.take_output()
