"""Chardevs: what they connect to, and how `query-chardev` names them."""

from __future__ import annotations

import asyncio
import os
import socket
import stat

import pytest

from qemu_sim import catalog
from qemu_sim.backends.chardev_file import ChardevFile
from qemu_sim.backends.chardev_null import ChardevNull
from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd


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
    assert catalog.names("qemu_sim.backends", "chardev") == ["file", "null", "socket"]


async def test_unix_client(listener):
    path = listener.getsockname()
    chardev = unix(path, server=False)
    assert not chardev.is_open
    assert chardev.filename == f"disconnected:unix:{path}"
    await chardev.open()
    assert chardev.is_unix
    assert chardev.filename == "unix:"  # as in QEMU: a client's own end has no name
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
