"""Where clients come from, what outlives them, and what monitors share."""

import asyncio
import json
import os
import socket
import stat

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.io import address as addresses
from qemu_sim.io import sockets
from qemu_sim.monitor.monitors import Monitors
from qemu_sim.monitor.wire_log import WireLog
from qemu_sim.wire.event_throttle import PERIOD

DONE = {"return": {}}


def exists(path):
    return os.path.exists(path)


@pytest.fixture
def null():
    with open(os.devnull, "rb") as file:
        yield str(file.fileno())


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "qmp")


@pytest.fixture
async def server(monitors, path):
    monitor = monitors.add("m0")
    await monitor.open(addresses.unix_address(path), server=True)
    return monitor


async def test_second_client_waits_for_its_greeting(server, connect, path):
    first = await connect(path).negotiate()
    second = connect(path)
    assert await second.silent()
    assert await first.ask('{"execute":"hello"}') == DONE
    first.sock.close()
    await second.negotiate()


async def test_reconnect_starts_anew_but_named_descriptors_stay(server, connect, path):
    first = await connect(path).negotiate(oob=True)
    read, write = os.pipe()
    socket.send_fds(first.sock, [b'{"execute":"getfd","arguments":{"fdname":"f"}}{'], [read])
    assert await first.message() == DONE
    first.sock.close()
    second = connect(path)
    assert "QMP" in await second.message()
    # Line 1 again: the parser was reset, the unfinished object is forgotten.
    assert (await second.ask("@"))["error"]["desc"].startswith("1:1: ")
    assert await second.ask('\n{"execute":"qmp_capabilities"}') == DONE
    assert (await second.ask('{"exec-oob":"x"}'))["error"]["desc"].endswith("is unexpected")
    assert list(server.named_fds) == ["f"]
    os.close(read)
    os.close(write)


async def test_socket_file(monitors, path, connect):
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    monitor = monitors.add("m0")
    await monitor.open(addresses.unix_address(path), server=True)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    await connect(path).negotiate()
    monitor.close()
    assert not exists(path)


async def test_long_path_is_refused_by_name():
    path = "/tmp/" + "x" * 103
    with pytest.raises(QMPError, match=f"UNIX socket path '{path}' is too long"):
        addresses.unix_address(path)


async def test_tcp(monitors, connect):
    monitor = monitors.add("m0")
    await monitor.open(addresses.InetAddress("127.0.0.1", "0"), server=True)
    client = await connect(int(monitor.bound["port"])).negotiate()
    reply = await client.ask('{"execute":"x-sim-hello"}')
    assert reply["error"]["desc"] == "The command x-sim-hello is refused on a TCP monitor"


async def test_client_mode(monitors, path, client_on):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        await monitors.add("m0").open(addresses.unix_address(path), server=False)
        await client_on(listener.accept()[0]).negotiate()


async def test_inherited_descriptor_that_is_connected(monitors, client_on):
    ours, theirs = socket.socketpair()
    address = addresses.FdAddress(str(ours.detach()))
    await monitors.add("m0").open(address, server=False)
    await client_on(theirs).negotiate()


async def test_inherited_descriptor_that_listens(monitors, path, connect):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    monitor = monitors.add("m0")
    await monitor.open(addresses.FdAddress(str(listener.detach())), server=True)
    first = await connect(path).negotiate()
    first.sock.close()
    await connect(path).negotiate()
    monitor.close()
    # Whoever bound it removes it.
    assert exists(path)


async def test_inherited_descriptor_that_is_no_socket(monitors, null):
    for name in ("nonsense", "999", null):
        with pytest.raises(QMPError, match=f"File descriptor '{name}' is not a socket"):
            await monitors.add("m0").open(addresses.FdAddress(name), server=False)


async def test_client_of_another_user_is_turned_away(server, connect, path, monkeypatch, caplog):
    monkeypatch.setattr(sockets, "peer_credentials", lambda _: (1, 4711, 4711))
    assert await connect(path).line() is None
    assert "another user" in caplog.text
    monkeypatch.undo()
    await connect(path).negotiate()


async def test_somebody_can_wait_for_the_first_client(server, connect, path):
    waiting = asyncio.ensure_future(server.connected.wait())
    client = connect(path)
    await asyncio.wait_for(waiting, 5)
    client.sock.close()


async def test_last_answers_arrive_before_the_end(server, monitors, connect, path):
    client = await connect(path).negotiate()
    client.send('{"execute":"blob","arguments":{"size":3000000}}{"execute":"quit"}')
    reading = asyncio.ensure_future(client.line())
    await server._machine.exited
    await monitors.close()
    assert len(await reading) > 3000000
    assert (await client.message())["event"] == "SHUTDOWN"
    assert await client.message() == DONE
    assert await client.line() is None


async def test_a_client_that_reads_nothing_cannot_delay_the_end(
    server, monitors, connect, path, monkeypatch
):
    monkeypatch.setattr("qemu_sim.monitor.monitors._GOODBYE", 0.02)
    client = await connect(path).negotiate()
    client.send('{"execute":"blob","arguments":{"size":3000000}}{"execute":"quit"}')
    await server._machine.exited
    await asyncio.wait_for(monitors.close(), 1)


async def test_limited_events(attached, machine):
    client = await attached().negotiate()
    for number in range(3):
        machine.events.emit("RTC_CHANGE", {"offset": number})
    machine.events.emit("STOP")
    await machine.clock.advance(PERIOD)
    got = [await client.message() for _ in range(3)]
    assert [event["event"] for event in got] == ["RTC_CHANGE", "STOP", "RTC_CHANGE"]
    assert [event["data"]["offset"] for event in got[::2]] == [0, 2]


async def test_wire_log(machine, tmp_path, client_on):
    log = WireLog(str(tmp_path / "log"))
    monitors = Monitors(machine, log)
    ours, theirs = socket.socketpair()
    await monitors.add("m0").open(addresses.FdAddress(str(ours.detach())), server=False)
    client = await client_on(theirs).negotiate()
    await client.ask("@")
    await monitors.close()
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(line["direction"], list(line["object"])) for line in lines] == [
        ("out", ["QMP"]),
        ("in", ["execute", "arguments"]),
        ("out", ["return"]),
        ("in", ["syntax-error"]),
        ("out", ["error"]),
    ]
    assert {line["monitor"] for line in lines} == {"m0"}
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)
    assert all(line["fds"] == 0 for line in lines)
