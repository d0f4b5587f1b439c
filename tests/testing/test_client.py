"""The tests' own QMP client, against a peer that says what the test wants."""

from __future__ import annotations

import asyncio
import json
import os
import socket

import pytest

from qemu_sim.io.channel import Channel
from qemu_sim.testing.client import Client, MachineEnded, QMPError

GREETING = b'{"QMP": {"version": {}, "capabilities": ["oob"]}}\r\n'


class Peer:
    """The machine's end of the connection."""

    def __init__(self, sock):
        sock.setblocking(False)
        self.sock = sock

    async def say(self, *values):
        lines = b"".join(json.dumps(value).encode() + b"\r\n" for value in values)
        await asyncio.get_running_loop().sock_sendall(self.sock, lines)

    async def hear(self):
        return json.loads(await asyncio.get_running_loop().sock_recv(self.sock, 4096))


@pytest.fixture
async def client_and_peer():
    ours, theirs = socket.socketpair()
    client = Client(Channel(ours), "vm")
    yield client, Peer(theirs)
    client.close()
    theirs.close()


async def test_negotiation_asks_for_out_of_band(client_and_peer):
    client, peer = client_and_peer
    negotiating = asyncio.create_task(client.negotiate(5))
    peer.sock.send(GREETING[:20])
    await asyncio.sleep(0)
    peer.sock.send(GREETING[20:])
    request = await peer.hear()
    assert request["arguments"] == {"enable": ["oob"]}
    await peer.say({"return": {}, "id": request["id"]})
    await negotiating
    assert client.greeting["capabilities"] == ["oob"]


async def test_replies_find_their_requests_in_any_order(client_and_peer):
    client, peer = client_and_peer
    first = asyncio.create_task(client.execute("a", {}, within=5))
    id_first = (await peer.hear())["id"]
    second = asyncio.create_task(client.execute("b", {}, oob=True, within=5))
    heard = await peer.hear()
    assert heard["exec-oob"] == "b"
    event = {"event": "STOP", "timestamp": {}}
    error = {"error": {"class": "GenericError", "desc": "no"}, "id": id_first}
    await peer.say({"return": 2, "id": heard["id"]}, event, error)
    assert await second == 2
    with pytest.raises(QMPError, match="no"):
        await first
    assert client.events == [event]


async def test_a_late_answer_is_nobodys(client_and_peer):
    client, peer = client_and_peer
    with pytest.raises(TimeoutError, match=r"machine 'vm' did not answer 'slow' within 0.01 s"):
        await client.execute("slow", {}, within=0.01)
    late = (await peer.hear())["id"]
    next_one = asyncio.create_task(client.execute("quick", {}, within=5))
    await peer.say({"return": 1, "id": late}, {"return": 2, "id": (await peer.hear())["id"]})
    assert await next_one == 2


async def test_the_end_of_the_machine_ends_all_waiting(client_and_peer):
    client, peer = client_and_peer
    waiting = [
        asyncio.create_task(client.execute("quit", {}, within=5)),
        asyncio.create_task(client.wait_event("STOP", {}, 5)),
    ]
    await peer.hear()
    peer.sock.close()
    for task in waiting:
        with pytest.raises(MachineEnded, match="machine 'vm' has ended"):
            await task
    with pytest.raises(MachineEnded):
        await client.execute("query-status", {}, within=5)


async def test_two_may_wait_for_the_same_event(client_and_peer):
    client, peer = client_and_peer
    waiting = [asyncio.create_task(client.wait_event("STOP", {}, 5)) for _ in range(2)]
    await asyncio.sleep(0)
    await peer.say({"event": "STOP", "n": 1}, {"event": "STOP", "n": 2})
    assert [event["n"] for event in await asyncio.gather(*waiting)] == [1, 2]


async def test_descriptors_ride_on_the_request(client_and_peer):
    client, peer = client_and_peer
    reading, writing = os.pipe()
    sending = asyncio.create_task(client.execute("getfd", {}, fds=[writing], within=5))
    await asyncio.sleep(0)
    data, fds, _, _ = socket.recv_fds(peer.sock, 4096, 4)
    assert len(fds) == 1
    await peer.say({"return": {}, "id": json.loads(data)["id"]})
    await sending
    for fd in (reading, writing, *fds):
        os.close(fd)
