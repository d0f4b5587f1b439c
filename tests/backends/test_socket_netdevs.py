"""Netdevs over sockets: what connects to what, and the frames that pass."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from qemu_sim.backends.netdev_dgram import NetdevDgram
from qemu_sim.backends.netdev_socket import NetdevSocket
from qemu_sim.backends.netdev_stream import NetdevStream
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd

FRAME = bytes(range(60))


class Log:
    """A netdev, its events, and what it hears."""

    def __init__(self, made, id, **options):
        self.events, self.heard = [], []
        self.netdev = made(id, {key.replace("_", "-"): options[key] for key in options})
        self.netdev.emit = lambda name, data: self.events.append((name, data))

    async def open(self):
        await self.netdev.open()
        self.netdev.start(lambda queue, frame: self.heard.append((queue, frame)))
        return self


@pytest.fixture
async def make():
    made = []

    async def make(kind, **options):
        made.append(Log(kind, f"n{len(made)}", **options))
        return await made[-1].open()

    yield make
    for log in made:
        log.netdev.close()


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.001)


def unix(path, **more):
    return {"type": "unix", "path": str(path), **more}


def inet(port, host="127.0.0.1"):
    return {"type": "inet", "host": host, "port": str(port)}


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def connected(log, count=1):
    return [name for name, _ in log.events].count("NETDEV_STREAM_CONNECTED") == count


@pytest.mark.parametrize("kind", ["unix", "abstract", "inet"])
async def test_frames_pass_through_a_stream_both_ways(make, tmp_path, kind):
    address = {
        "unix": unix(tmp_path / "s"),
        "abstract": unix("qemu-sim-stream", abstract=True),
        "inet": inet(free_port()),
    }[kind]
    server = await make(NetdevStream, addr=address, server=True)
    assert server.netdev.info == "listening"
    client = await make(NetdevStream, addr=address)
    await until(lambda: connected(server) and connected(client))
    shown = f"unix:{address['path']}" if kind != "inet" else f"tcp:127.0.0.1:{address['port']}"
    assert client.netdev.info == shown
    big = bytes(60000)
    assert client.netdev.send(0, FRAME)
    assert client.netdev.send(0, big)
    assert server.netdev.send(0, FRAME)
    await until(lambda: len(server.heard) == 2 and client.heard)
    assert server.heard == [(0, FRAME), (0, big)]
    assert client.heard == [(0, FRAME)]


async def test_a_stream_tells_who_comes_and_goes(make, tmp_path):
    path = str(tmp_path / "s")
    server = await make(NetdevStream, addr=unix(path), server=True)
    for count in (2, 4):
        client = await make(NetdevStream, addr=unix(path))
        await until(lambda client=client: connected(client))
        client.netdev.close()
        await until(lambda count=count: len(server.events) == count)
    assert server.events == 2 * [
        ("NETDEV_STREAM_CONNECTED", {"netdev-id": "n0", "addr": {"path": path, "type": "unix"}}),
        ("NETDEV_STREAM_DISCONNECTED", {"netdev-id": "n0"}),
    ]
    assert not client.netdev.send(0, FRAME)
    server.netdev.close()
    assert not os.path.exists(path)


async def test_a_stream_calls_again(make, tmp_path):
    address = unix(tmp_path / "s")
    client = await make(NetdevStream, addr=address, reconnect_ms=1)
    assert client.netdev.info == "connecting"
    for count in (1, 2):
        server = await make(NetdevStream, addr=address, server=True)
        await until(lambda count=count: connected(client, count))
        server.netdev.close()
        await until(lambda: client.events[-1][0].endswith("DISCONNECTED"))
        assert client.netdev.info == "connecting"


async def test_that_nobody_listens_is_no_error(make, tmp_path):
    log = await make(NetdevStream, addr=unix(tmp_path / "none"))
    reason = f"Failed to connect to '{tmp_path / 'none'}': No such file or directory"
    await until(lambda: log.netdev.info == f"error: {reason}")
    log.netdev.version = (7, 2, 0)
    log.netdev.close()
    await log.open()
    await until(lambda: log.netdev.info == "connection error")


async def test_a_stream_that_makes_no_sense_ends(make, tmp_path):
    server = await make(NetdevStream, addr=unix(tmp_path / "s"), server=True)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(tmp_path / "s"))
        peer.send(b"\xff\xff\xff\xff")
        await until(lambda: server.events and server.events[-1][0].endswith("DISCONNECTED"))
    assert server.heard == []


async def test_a_stopped_netdev_leaves_frames_where_they_are(make, tmp_path):
    server = await make(NetdevStream, addr=unix(tmp_path / "s"), server=True)
    client = await make(NetdevStream, addr=unix(tmp_path / "s"))
    await until(lambda: connected(server) and connected(client))
    server.netdev.stop()
    client.netdev.send(0, FRAME)
    await asyncio.sleep(0.01)
    assert server.heard == []
    server.netdev.start(lambda queue, frame: server.heard.append((queue, frame)))
    await until(lambda: server.heard)


async def test_a_given_stream(make):
    ours, theirs = socket.socketpair()
    log = await make(NetdevStream, addr={"type": "fd", "str": str(theirs.detach())})
    assert log.netdev.info == "unix:"
    ours.sendall(len(FRAME).to_bytes(4) + FRAME)
    await until(lambda: log.heard == [(0, FRAME)])
    ours.close()
    with Fd(os.eventfd(0)) as no_socket:
        for name, reason in (
            ("x", "Unable to parse FD number x"),
            (str(no_socket.fileno()), f"File descriptor '{no_socket.fileno()}' is not a socket"),
        ):
            other = await make(NetdevStream, addr={"type": "fd", "str": name})
            assert other.netdev.info == f"error: {reason}"


@pytest.mark.parametrize("kind", ["unix", "inet"])
async def test_datagrams(make, tmp_path, kind):
    if kind == "unix":
        places = [unix(tmp_path / "a"), unix(tmp_path / "b")]
        info = f"udp={tmp_path / 'a'}:{tmp_path / 'b'}"
    else:
        places = [inet(free_port(socket.SOCK_DGRAM)) for _ in range(2)]
        info = "udp=" + "/".join(f"127.0.0.1:{place['port']}" for place in places)
    one = await make(NetdevDgram, local=places[0], remote=places[1])
    assert not one.netdev.send(0, FRAME) or kind == "inet"  # nobody there yet
    other = await make(NetdevDgram, local=places[1], remote=places[0])
    assert one.netdev.info == info
    assert one.netdev.send(0, FRAME)
    await until(lambda: other.heard == [(0, FRAME)])
    assert other.netdev.send(0, FRAME)
    await until(lambda: one.heard == [(0, FRAME)])
    one.netdev.close()
    assert not os.path.exists(tmp_path / "a")


async def test_given_datagrams(make):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        name = str(theirs.fileno())
        log = await make(NetdevDgram, local={"type": "fd", "str": name})
        assert log.netdev.info == f"fd={name} unix"
        ours.send(FRAME)
        await until(lambda: log.heard == [(0, FRAME)])


@pytest.mark.parametrize("kind", [NetdevDgram, NetdevSocket])
async def test_a_group_hears(make, kind):
    port = free_port(socket.SOCK_DGRAM)
    place = {"mcast": f"230.0.0.1:{port}", "localaddr": "127.0.0.1"}
    if kind is NetdevDgram:
        place = {"remote": inet(port, "230.0.0.1"), "local": inet(0)}
    one, other = await make(kind, **place), await make(kind, **place)
    assert one.netdev.info.endswith(f"mcast=230.0.0.1:{port}")
    assert one.netdev.send(0, FRAME)
    await until(lambda: other.heard == [(0, FRAME)])


async def test_the_older_kind(make):
    port = free_port()
    server = await make(NetdevSocket, listen=f"127.0.0.1:{port}")
    client = await make(NetdevSocket, connect=f"127.0.0.1:{port}")
    await until(lambda: server.netdev.info and client.netdev.info)
    assert server.netdev.info.startswith("socket: connection from 127.0.0.1:")
    assert client.netdev.info == f"socket: connect to 127.0.0.1:{port}"
    client.netdev.send(0, FRAME)
    await until(lambda: server.heard == [(0, FRAME)])
    client.netdev.close()
    await until(lambda: not server.netdev.info)
    assert (server.events, client.events) == ([], [])


ERRORS = [
    (NetdevDgram, {}, "dgram requires local= parameter"),
    (NetdevDgram, {"local": inet(1)}, "type=inet or type=unix requires remote parameter"),
    (
        NetdevDgram,
        {"local": inet(1), "remote": unix("/x")},
        "remote and local types must be the same",
    ),
    (
        NetdevDgram,
        {"local": {"type": "fd", "str": "x"}, "remote": inet(1)},
        "don't set remote with local.fd",
    ),
    (
        NetdevDgram,
        {"local": {"type": "fd", "str": "x"}},
        "File descriptor named 'x' has not been found",
    ),
    (NetdevDgram, {"remote": inet("x", "230.0.0.1")}, "port number 'x' is invalid"),
    (
        NetdevStream,
        {"addr": unix("/x"), "server": True, "reconnect_ms": 5},
        "'reconnect-ms' option is incompatible with socket in server mode",
    ),
    (NetdevSocket, {}, "exactly one of listen=, connect=, mcast= or udp= is required"),
    (
        NetdevSocket,
        {"listen": "x"},
        "host address 'x' doesn't contain ':' separating host from port",
    ),
    (
        NetdevSocket,
        {"mcast": "127.0.0.1:1"},
        "specified mcastaddr 127.0.0.1 (0x7f000001) does not contain a multicast address",
    ),
    (NetdevSocket, {"udp": "127.0.0.1:1"}, "localaddr= is mandatory with udp="),
    (
        NetdevSocket,
        {"listen": ":1", "localaddr": "127.0.0.1"},
        "localaddr= is only valid with mcast= or udp=",
    ),
    (NetdevSocket, {"fd": "x"}, "File descriptor named 'x' has not been found"),
]


@pytest.mark.parametrize(("kind", "options", "error"), ERRORS)
async def test_what_cannot_be(make, kind, options, error):
    with pytest.raises(QMPError) as caught:
        await make(kind, **options)
    assert str(caught.value) == error


def test_two_guests_hear_each_other(make_machine, tmp_path):
    address = f"addr.type=unix,addr.path={tmp_path / 's'}"
    nic = ["-M", "q35", "-device", "virtio-net-pci,id=nic,netdev=n"]
    server = make_machine("-netdev", f"stream,id=n,server=on,{address}", *nic)
    client = make_machine("-netdev", f"stream,id=n,{address}", *nic)
    server.wait_event("NETDEV_STREAM_CONNECTED")
    once = {"initial": 50, "max": 50, "rounds": 1, "step": 10}
    client.execute("announce-self", once)
    assert client.query_guest()["nic"].frames_out == 1
    heard = 0
    for _ in range(1000):
        heard = server.query_guest()["nic"].frames_in
        if heard:
            break
    assert heard == 1


def test_a_named_descriptor(make_machine):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours:
        machine = make_machine("-M", "none")
        with theirs:
            machine.send_fd("pair", theirs.fileno())
        local = {"type": "fd", "str": "pair"}
        machine.execute("netdev_add", {"type": "dgram", "id": "n", "local": local})
        shown = machine.execute("human-monitor-command", {"command-line": "info network"})
        assert shown.startswith("n: index=0,type=dgram,fd=")
