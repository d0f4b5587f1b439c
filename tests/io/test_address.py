"""Addresses, and sockets made of them."""

from __future__ import annotations

import asyncio
import os
import socket
import stat

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.fds import open_descriptors
from qemu_sim.io import address as addresses
from qemu_sim.io import sockets
from qemu_sim.io.address import InetAddress, UnixAddress


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:4444", "127.0.0.1", "4444"), ("[::1]:0", "::1", "0"), (":9", "", "9")],
)
def test_inet(text, host, port):
    assert addresses.inet_address(text) == InetAddress(host, port)


@pytest.mark.parametrize("text", ["127.0.0.1", "", "host:"])
def test_bad_inet(text):
    with pytest.raises(QMPError, match=f"error parsing address '{text}'"):
        addresses.inet_address(text)


def test_a_path_too_long_is_refused_by_name():
    path = "/tmp/" + "x" * 103
    with pytest.raises(QMPError, match=f"UNIX socket path '{path}' is too long"):
        addresses.unix_address(path)
    assert addresses.unix_address(path[:-1]).path == path[:-1]


def test_an_option_is_not_swallowed():
    with pytest.raises(QMPError, match="address option 'to=4450' is not simulated by qemu-sim"):
        addresses.inet_address("127.0.0.1:4444,to=4450")


async def test_a_unix_socket_is_private_and_replaces_a_stale_one(tmp_path):
    address = UnixAddress(str(tmp_path / "s"))
    sockets.listen(address).close()
    with sockets.listen(address) as listener:
        mode = os.stat(address.path).st_mode
        assert stat.S_IMODE(mode) == 0o600
        with await sockets.connect(address), listener.accept()[0] as accepted:
            assert sockets.trusted_peer(accepted)
    sockets.remove_path(address)
    assert not os.path.exists(address.path)


async def test_a_file_that_is_no_socket_is_never_removed(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(QMPError, match=f"Failed to bind socket to {path}: Address already in use"):
        sockets.listen(UnixAddress(str(path)))
    assert path.read_text() == "data"


async def test_connecting_to_nobody_names_the_address(tmp_path):
    path = str(tmp_path / "nobody")
    with pytest.raises(QMPError, match=f"Failed to connect to '{path}': No such file or directory"):
        await sockets.connect(UnixAddress(path))
    with pytest.raises(QMPError, match=r"Failed to connect to '127.0.0.1:1': Connection refused"):
        await sockets.connect(InetAddress("127.0.0.1", "1"))


async def test_a_name_that_cannot_be_one_is_not_resolved():
    address = InetAddress("a..b", "1")
    text = "address resolution failed for a..b:1: Name or service not known"
    with pytest.raises(QMPError, match=text):
        await sockets.connect(address)
    with pytest.raises(QMPError, match=text):
        sockets.listen(address)


async def test_each_address_of_a_host_is_tried(monkeypatch):
    with sockets.listen(InetAddress("127.0.0.1", "0")) as listener:
        port = listener.getsockname()[1]
        here, elsewhere = ("127.0.0.1", port), ("192.0.2.1", port)

        def resolve(*_, **__):
            stream = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
            return [(*stream, ("127.0.0.2", port)), (*stream, here)]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with await sockets.connect(InetAddress("host", str(port))) as sock:
            assert sock.getpeername() == here
    bound = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", target) for target in (elsewhere, here)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: bound)
    with sockets.listen(InetAddress("host", str(port))) as listener:
        assert listener.getsockname() == here


async def test_a_connection_given_up_leaves_no_socket():
    before = open_descriptors()
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        target = full.getsockname()
        with socket.create_connection(target):  # the next one finds no place in the queue
            address = InetAddress(target[0], str(target[1]))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await sockets.connect(address)
    assert open_descriptors() == before


async def test_port_0_is_resolved():
    with sockets.listen(InetAddress("127.0.0.1", "0")) as listener:
        bound = sockets.bound_address(listener)
        assert bound["type"] == "inet"
        assert int(bound["port"]) > 0
        with await sockets.connect(InetAddress("127.0.0.1", bound["port"])) as sock:
            assert sock.family == socket.AF_INET
