"""Chardevs: what they connect to, and how `query-chardev` names them."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import termios

import pytest

from qemu_sim import catalog
from qemu_sim.backends.chardev_file import ChardevFile
from qemu_sim.backends.chardev_hub import ChardevHub
from qemu_sim.backends.chardev_memory import ChardevMemory
from qemu_sim.backends.chardev_mux import ChardevMux
from qemu_sim.backends.chardev_null import ChardevNull
from qemu_sim.backends.chardev_parallel import ChardevParallel
from qemu_sim.backends.chardev_pipe import ChardevPipe
from qemu_sim.backends.chardev_pty import ChardevPty
from qemu_sim.backends.chardev_ringbuf import ChardevRingbuf
from qemu_sim.backends.chardev_serial import ChardevSerial
from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.backends.chardev_udp import ChardevUdp
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.qapi import profile


def unix(path, **options):
    return ChardevSocket("c0", {"addr": {"type": "unix", "data": {"path": str(path)}}, **options})


def inet(port, **options):
    data = {"host": "127.0.0.1", "port": str(port)}
    return ChardevSocket("c0", {"addr": {"type": "inet", "data": data}, **options})


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "peer"))
        sock.listen()
        yield sock


def test_found_by_name():
    names = catalog.names("qemu_sim.backends", "chardev")
    recorded = profile.load("11.1").idle_answers["none"]["query-chardev-backends"]["return"]
    # Modules that the recorded QEMU loads when they are asked for are not in its answer.
    assert set(names) == {each["name"] for each in recorded} | {"braille"}


async def test_unix_client(listener):
    path = listener.getsockname()
    chardev = unix(path, server=False)
    assert not chardev.is_open
    assert chardev.filename == f"disconnected:unix:{path}"
    await chardev.open()
    assert chardev.is_unix
    assert chardev.filename == f"unix:{path}"
    chardev.version = (7, 2, 0)
    assert chardev.filename == f"unix:{path}"  # it was named when it connected
    peer, _ = listener.accept()
    with await chardev.take() as sock:
        with pytest.raises(QMPError, match="'c0' is in use already"):
            await chardev.take()
        peer.send(b"x")
        assert os.read(sock.fileno(), 1) == b"x"
    peer.close()
    chardev.disconnected()
    assert chardev.filename == f"disconnected:unix:{path}"
    chardev.close()


async def test_nobody_listens(tmp_path):
    chardev = unix(tmp_path / "none", server=False)
    with pytest.raises(QMPError, match=r"Failed to connect to '.*none': No such file or directory"):
        await chardev.open()
    chardev.close()


async def test_unix_server(tmp_path):
    path = tmp_path / "server"
    chardev = unix(path)
    await chardev.open()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert chardev.filename == f"disconnected:unix:{path},server=on"
    taking = asyncio.create_task(chardev.take())
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        with await asyncio.wait_for(taking, 5):
            assert chardev.filename == f"unix:{path},server=on"
    chardev.close()
    assert not path.exists()


async def test_wait_on(tmp_path):
    chardev = unix(tmp_path / "server", wait=True)
    opening = asyncio.create_task(chardev.open())
    await asyncio.sleep(0)
    assert not opening.done()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "server"))
        await asyncio.wait_for(opening, 5)
    chardev.close()


async def test_tcp_both_ways():
    server = inet(0)
    await server.open()
    port = server.filename.removeprefix("disconnected:tcp:127.0.0.1:").removesuffix(",server=on")
    client = inet(port, server=False)
    await client.open()
    assert not client.is_unix
    theirs = await asyncio.wait_for(server.take(), 5)
    ours = await client.take()
    own = client.filename.removeprefix("tcp:").removesuffix(f" <-> 127.0.0.1:{port}")
    assert server.filename == f"tcp:127.0.0.1:{port},server=on <-> {own}"
    for part in (theirs, ours, server, client):
        part.close()


async def test_given_descriptor():
    ours, theirs = socket.socketpair()
    options = {"addr": {"type": "fd", "data": {"str": "sock"}}, "server": False}
    chardev = ChardevSocket("c0", options, [Fd(ours.detach())])
    await chardev.open()
    assert chardev.filename == "unix:"
    with await chardev.take():
        pass
    theirs.close()
    chardev.close()
    missing = ChardevSocket("c1", options)
    with pytest.raises(QMPError, match="File descriptor named 'sock' has not been found"):
        await missing.open()
    missing.close()


async def test_never_opened(tmp_path):
    chardev = unix(tmp_path / "x")
    with pytest.raises(QMPError, match="'c0' is not open"):
        await chardev.take()
    chardev.close()
    chardev.close()


async def test_file(tmp_path):
    path = tmp_path / "out"
    path.write_text("before")
    appending = ChardevFile("f", {"out": str(path), "append": True})
    await appending.open()
    assert appending.is_open
    assert path.read_text() == "before"
    appending.close()
    truncating = ChardevFile("f", {"out": str(path), "in": str(path)})
    await truncating.open()
    assert path.read_text() == ""
    assert truncating.filename == "file"
    truncating.close()
    for options in ({"out": "/none/x"}, {"out": str(path), "in": "/none/x"}):
        with pytest.raises(QMPError, match="Could not open '/none/x': No such file or directory"):
            await ChardevFile("f", options).open()


async def test_null():
    chardev = ChardevNull("n", {})
    await chardev.open()
    assert chardev.filename == "null"
    chardev.close()


async def test_ringbuf_keeps_the_last_bytes():
    for kind in (ChardevRingbuf, ChardevMemory):
        chardev = kind("r", {"size": 8})
        chardev.write(b"0123456789")
        assert chardev.read(3) == b"234"
        chardev.write(b"ab")
        assert (chardev.read(100), chardev.read(1)) == (b"56789ab", b"")
    with pytest.raises(QMPError, match="size of ringbuf chardev must be power of two"):
        ChardevRingbuf("r", {"size": 1000})


async def test_what_is_written_is_logged(tmp_path):
    path = tmp_path / "log"
    for keep, expected in ((False, b"a"), (True, b"aa")):
        chardev = ChardevNull("n", {"logfile": str(path), "logappend": keep})
        chardev.open_log()
        chardev.write(b"a")
        chardev.close()
        assert path.read_bytes() == expected
    with pytest.raises(QMPError, match="Could not create '/none/x': No such file or directory"):
        ChardevNull("n", {"logfile": "/none/x"}).open_log()


async def test_pty(tmp_path):
    link = tmp_path / "link"
    chardev = ChardevPty("p", {"path": str(link)})
    await chardev.open()
    name = chardev.details["pty"]
    assert (chardev.filename, os.readlink(link)) == (f"pty:{name}", name)
    chardev.write(b"lost")  # nobody has it open
    with Fd(os.open(name, os.O_RDWR | os.O_NOCTTY)) as terminal:
        chardev.write(b"heard\n")
        assert os.read(terminal.fileno(), 100) == b"heard\n"
    chardev.close()
    assert not link.is_symlink()
    link.touch()
    with pytest.raises(QMPError, match="Failed to create PTY symlink: File exists"):
        await chardev.open()
    chardev.close()
    assert link.exists()


@pytest.mark.parametrize("names", [("in", "out"), ("",)])
async def test_pipe(tmp_path, names):
    for name in names:
        os.mkfifo(tmp_path / f"p{'.' if name else ''}{name}")
    chardev = ChardevPipe("p", {"device": str(tmp_path / "p")})
    await chardev.open()
    out = tmp_path / ("p.out" if "out" in names else "p")
    with Fd(os.open(out, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        chardev.write(b"x")
        assert os.read(reader.fileno(), 10) == b"x"
    chardev.close()
    missing = ChardevPipe("p", {"device": "/none"})
    with pytest.raises(QMPError, match="Could not open '/none': No such file or directory"):
        await missing.open()


async def test_serial_sets_the_line(tmp_path):
    terminal = ChardevPty("p", {})
    await terminal.open()
    chardev = ChardevSerial("s", {"device": terminal.details["pty"]})
    await chardev.open()
    with Fd(os.open(terminal.details["pty"], os.O_RDWR | os.O_NOCTTY)) as line:
        settings = termios.tcgetattr(line.fileno())
        assert settings[4] == termios.B115200
        assert not settings[3] & (termios.ECHO | termios.ICANON)
        chardev.write(b"x")
    assert chardev.filename == "serial"
    chardev.close()
    terminal.close()


async def test_parallel_needs_a_port():
    chardev = ChardevParallel("p", {"device": "/dev/null"})
    with pytest.raises(QMPError, match="not a parallel port: Inappropriate ioctl for device"):
        await chardev.open()
    assert not chardev.is_open


async def test_udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        data = {"host": "127.0.0.1", "port": str(peer.getsockname()[1])}
        chardev = ChardevUdp("u", {"remote": {"type": "inet", "data": data}})
        await chardev.open()
        chardev.write(b"one")
        chardev.write(b"two")
        peer.settimeout(5)
        assert [peer.recv(10), peer.recv(10)] == [b"one", b"two"]
        chardev.close()


async def test_a_hub_writes_to_all_and_a_mux_to_one():
    rings = {id: ChardevRingbuf(id, {}) for id in "ab"}
    hub = ChardevHub("h", {"chardevs": ["a", "b"]})
    assert hub.find_bases(rings) == list(rings.values())
    hub.write(b"x")
    mux = ChardevMux("m", {"chardev": "a"})
    mux.find_bases(rings)
    mux.write(b"y")
    assert (rings["a"].read(9), rings["b"].read(9)) == (b"xy", b"x")


async def test_a_client_calls_again(tmp_path, caplog):
    path = tmp_path / "peer"
    chardev = unix(path, server=False, **{"reconnect-ms": 1})
    await chardev.open()
    taking = asyncio.create_task(chardev.take())
    await _until(lambda: caplog.records)
    text = f"Unable to connect character device c0: Failed to connect to '{path}': No such file"
    assert caplog.records[0].getMessage().startswith(text)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        (await asyncio.wait_for(taking, 5)).close()
        chardev.disconnected()
        with await asyncio.wait_for(chardev.take(), 5):
            assert chardev.filename == f"unix:{path}"
    chardev.close()
    assert len(caplog.records) == 1


async def test_a_unix_client_that_left_is_missed(tmp_path):
    chardev = unix(tmp_path / "server")
    await chardev.open()
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "server"))
            await _until(lambda: chardev.filename.startswith("unix:"))
            chardev.write(b"x")
            client.settimeout(5)
            assert client.recv(10) == b"x"
        await _until(lambda: chardev.filename.startswith("disconnected:"))
    chardev.close()


async def test_abstract_names():
    data = {"path": "qemu-sim-test", "abstract": True}
    server = ChardevSocket("s", {"addr": {"type": "unix", "data": data}})
    await server.open()
    assert server.filename == "disconnected:unix:qemu-sim-test,abstract=on,tight=on,server=on"
    client = ChardevSocket("c", {"addr": {"type": "unix", "data": data}, "server": False})
    await client.open()
    assert client.filename == "unix:"
    for chardev in (server, client):
        chardev.close()


async def test_a_range_of_ports():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        data = {"host": "127.0.0.1", "port": str(port), "to": port}
        with pytest.raises(QMPError, match="Failed to find an available port"):
            await ChardevSocket("c", {"addr": {"type": "inet", "data": data}}).open()
        chardev = ChardevSocket("c", {"addr": {"type": "inet", "data": data | {"to": port + 9}}})
        await chardev.open()
        assert f":{port}," not in chardev.filename
        chardev.close()


async def test_telnet_is_opened():
    data = {"host": "127.0.0.1", "port": "0"}
    chardev = ChardevSocket("c", {"addr": {"type": "inet", "data": data}, "telnet": True})
    await chardev.open()
    place = chardev.filename.removeprefix("disconnected:telnet:").removesuffix(",server=on")
    with socket.create_connection(place.split(":"), 5) as client:
        await _until(lambda: chardev.filename.startswith("telnet:"))
        assert client.recv(100).hex() == "fffb01fffb03fffb00fffd00"
    chardev.close()


async def _until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.001)
