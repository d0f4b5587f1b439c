"""The front end against servers that lack something, refuse, or talk nonsense."""

from __future__ import annotations

import asyncio
import socket

import pytest

from qemu_sim.backends.chardev_null import ChardevNull
from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.backends.vhost import VhostUserSession
from qemu_sim.backends.vhost_connection import VhostConnection
from qemu_sim.backends.vhost_dialogue import F_VERSION_1, Needs
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.io.channel import Channel
from qemu_sim.virtio.memory import GuestMemory
from qemu_sim.virtio.queue import allocate_ring
from qemu_sim.wire import vhost_user
from qemu_sim.wire.vhost_user import MessageReader, Request

ALL = vhost_user.PROTOCOL_F_MQ | vhost_user.PROTOCOL_F_REPLY_ACK | vhost_user.PROTOCOL_F_CONFIG


class Scripted:
    """A server that answers as the test says: `answers` maps a request to a payload."""

    def __init__(self, sock, features, protocol_features):
        self.heard = []
        self.acknowledged = []
        self.answers = {
            Request.GET_FEATURES: vhost_user.encode_u64(features),
            Request.GET_PROTOCOL_FEATURES: vhost_user.encode_u64(protocol_features),
            Request.GET_QUEUE_NUM: vhost_user.encode_u64(1),
            Request.GET_CONFIG: vhost_user.encode_config(0, bytes(60)),
            Request.GET_VRING_BASE: vhost_user.encode_vring_state(0, 5),
        }
        self.instead = {}
        self._reader = MessageReader()
        self.channel = Channel(sock)
        self.channel.on_data = self._data
        self.channel.start_reading()

    def _data(self, data, fds):
        self._reader.feed(data, fds)
        while (message := self._reader.next()) is not None:
            for fd in message.fds:
                fd.close()
            self.heard.append(Request(message.request))
            if message.request in self.instead:
                self.channel.send(self.instead[message.request])
            elif message.request in self.answers:
                self._reply(message, self.answers[message.request])
            elif message.flags & vhost_user.NEED_REPLY:
                self.acknowledged.append(message.request)
                self._reply(message, vhost_user.encode_u64(0))

    def _reply(self, message, payload):
        self.channel.send(vhost_user.encode(message.request, payload, vhost_user.REPLY))


@pytest.fixture
async def make():
    """Make a scripted server and an unopened session with it."""
    parts = []

    def pair(features=F_VERSION_1 | vhost_user.F_PROTOCOL_FEATURES, protocol_features=ALL):
        ours, theirs = socket.socketpair()
        options = {"addr": {"type": "fd", "data": {"str": "x"}}, "server": False}
        chardev = ChardevSocket("c0", options, [Fd(ours.detach())])
        memory = GuestMemory(1 << 20, shared=True)
        needs = Needs("vhost-user-blk", 0, 1, 8, 60)
        session = VhostUserSession("disk0", needs, chardev, memory)
        server = Scripted(theirs, features, protocol_features)
        parts.extend([session, chardev, memory, server.channel])
        return server, session, memory

    yield pair
    for part in parts:
        part.close()


async def test_the_order_of_things(make):
    server, session, memory = make()
    await session.open()
    await session.start([allocate_ring(memory, 8)], [0])
    setup = [Request.SET_FEATURES, Request.SET_MEM_TABLE]
    ring = [
        Request.SET_VRING_NUM,
        Request.SET_VRING_BASE,
        Request.SET_VRING_ADDR,
        Request.SET_VRING_CALL,
        Request.SET_VRING_KICK,
        Request.SET_VRING_ENABLE,
    ]
    assert server.heard[-len(setup + ring) :] == setup + ring
    assert server.acknowledged[-len(setup + ring) :] == setup + ring
    assert session.state.started
    await session.stop()
    assert server.heard[-2:] == [Request.SET_VRING_ENABLE, Request.GET_VRING_BASE]
    assert session.state.bases == [5]
    heard = len(server.heard)
    await session.stop()
    assert len(server.heard) == heard


async def test_without_reply_ack_a_question_closes_the_set_up(make):
    server, session, memory = make(protocol_features=vhost_user.PROTOCOL_F_CONFIG)
    await session.open()
    await session.start([allocate_ring(memory, 8)], [0])
    assert server.acknowledged == []
    assert Request.GET_QUEUE_NUM not in server.heard
    assert server.heard[-1] == Request.GET_FEATURES


async def test_without_protocol_features_rings_are_enabled_from_the_start(make):
    server, session, memory = make(features=F_VERSION_1)
    session.needs = session.needs._replace(config_size=0)
    await session.open()
    await session.start([allocate_ring(memory, 8)], [0])
    assert Request.SET_VRING_ENABLE not in server.heard
    assert Request.GET_PROTOCOL_FEATURES not in server.heard


@pytest.mark.parametrize(
    ("features", "protocol_features", "words"),
    [
        (vhost_user.F_PROTOCOL_FEATURES, ALL, "does not offer VIRTIO_F_VERSION_1"),
        (F_VERSION_1, ALL, "does not offer its configuration"),
        (F_VERSION_1 | vhost_user.F_PROTOCOL_FEATURES, 0, "does not offer its configuration"),
    ],
)
async def test_a_server_that_lacks_something(make, features, protocol_features, words):
    _, session, _ = make(features, protocol_features)
    with pytest.raises(QMPError, match=f"disk0: vhost-user server at fd:x: .*{words}"):
        await session.open()
    assert not session.is_open


@pytest.mark.parametrize(
    ("request_number", "message", "words"),
    [
        (Request.GET_FEATURES, bytes(12), "vhost-user version 0 is not 1"),
        (
            Request.GET_FEATURES,
            vhost_user.encode(Request.GET_FEATURES, bytes(8)),
            "GET_FEATURES instead of the answer to GET_FEATURES",
        ),
        (
            Request.GET_FEATURES,
            vhost_user.encode(Request.GET_FEATURES, bytes(7), vhost_user.REPLY),
            "integer of 7 bytes instead of 8",
        ),
        (
            Request.GET_CONFIG,
            vhost_user.encode(Request.GET_CONFIG, b"", vhost_user.REPLY),
            "configuration space of 0 bytes",
        ),
        (
            Request.GET_QUEUE_NUM,
            vhost_user.encode(Request.GET_QUEUE_NUM, bytes(8), vhost_user.REPLY) * 2,
            "unexpected GET_QUEUE_NUM",
        ),
        (
            Request.SET_OWNER,
            vhost_user.encode(Request.SET_OWNER, vhost_user.encode_u64(1), vhost_user.REPLY),
            r"the server failed SET_OWNER \(1\)",
        ),
    ],
)
async def test_nonsense_from_the_server(make, request_number, message, words):
    server, session, _ = make()
    server.instead[request_number] = message
    with pytest.raises(QMPError, match=f"disk0: vhost-user server at fd:x: .*{words}"):
        await session.open()
    assert not session.is_open


async def test_silence(make, monkeypatch):
    monkeypatch.setattr("qemu_sim.backends.vhost_connection.ANSWER_TIMEOUT", 0.01)
    server, session, _ = make()
    server.instead[Request.GET_QUEUE_NUM] = b"\x11"
    with pytest.raises(QMPError, match=r"fd:x: no answer to GET_QUEUE_NUM within 0\.01 s"):
        await session.open()
    assert not session.is_open


async def test_a_server_that_leaves_in_mid_answer(make):
    server, session, _ = make()
    opening = asyncio.create_task(session.open())
    server.channel.pause_reading()
    server.channel.send(b"\1\0\0")
    await asyncio.sleep(0)
    server.channel.close()
    with pytest.raises(QMPError, match="disk0: vhost-user server at fd:x: "):
        await opening


async def test_a_word_nobody_asked_for_breaks_the_session(make):
    server, session, _ = make()
    await session.open()
    server.channel.send(vhost_user.encode(Request.GET_FEATURES, bytes(8), vhost_user.REPLY))
    async with asyncio.timeout(5):
        while session.failure is None:  # noqa: ASYNC110  (there is no event for it)
            await asyncio.sleep(0)
    assert session.failure == "unexpected GET_FEATURES"
    assert session.transfer_blocker() == "the connection is lost: unexpected GET_FEATURES"
    with pytest.raises(QMPError, match="unexpected GET_FEATURES"):
        await session.start([], [])


def test_only_a_socket_carries_descriptors():
    memory = GuestMemory(1 << 20, shared=True)
    with pytest.raises(QMPError, match='chardev "c" does not support FD passing'):
        VhostUserSession("d", Needs("vhost-user", 0, 1, 8, 0), ChardevNull("c", {}), memory)


async def test_an_answer_in_the_moment_of_giving_up():
    """Its descriptor is nobody's yet, and has to be closed all the same."""
    ours, theirs = (Fd(sock.detach()) for sock in socket.socketpair())
    connection = VhostConnection(ours, "disk0", lambda _: None)
    asking = asyncio.create_task(connection.ask(Request.GET_INFLIGHT_FD, b""))
    await asyncio.sleep(0)
    answer = vhost_user.encode(Request.GET_INFLIGHT_FD, bytes(24), vhost_user.REPLY)
    memory = theirs.share()
    connection._data(answer, [memory])
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert memory.closed
    connection.close()
    theirs.close()
