"""What an earlier process left: read from a socket, or from what its program wrote."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.fds import Fd
from qemu_sim.io import sockets
from qemu_sim.migration import predecessor
from qemu_sim.testing.listening import wait_for_listener
from qemu_sim.virtio.memory import GuestMemory
from qemu_sim.wire import cpr, vmstream

SIZE = 1 << 20


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "cpr")


@pytest.fixture
def waiting(path):
    """Wait at `path` in a thread; returns the future of what comes."""
    channel = {"transport": "socket", "type": "unix", "path": path}
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(predecessor.await_source, channel, check_peer=True)
        wait_for_listener(path, 5)
        yield waits


@pytest.fixture
def source(waiting, path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(path)
        yield sock


@pytest.fixture
def ram():
    made = GuestMemory(SIZE, shared=True, name="ram")
    made.write(5000, b"kept")
    yield made
    made.close()


@pytest.fixture
def memory():
    made = GuestMemory(SIZE, shared=True, name="ram")
    yield made
    made.close()


def send(sock, *pieces, fds=()):
    """Send as QEMU does: each descriptor comes with the bytes before its own."""
    socket.send_fds(sock, [b"".join(pieces)], [fd.fileno() for fd in fds])


def test_ram_is_what_the_source_has(source, waiting, path, ram, memory):
    with Fd(os.memfd_create("other")) as other:
        send(source, cpr.HEADER, cpr.entry("pc.bios"), vmstream.FD_BYTE, fds=[other])
    send(source, cpr.entry("ram"), vmstream.FD_BYTE, fds=[ram.fd])
    source.sendall(cpr.TAIL)
    found = waiting.result(5)
    assert not os.path.exists(path)
    found.give_ram(memory)
    assert memory.read(5000, 4) == b"kept"
    memory.write(5000, b"both")
    assert ram.read(5000, 4) == b"both"
    source.setblocking(False)
    with pytest.raises(BlockingIOError):
        source.recv(1)
    found.close()
    assert source.recv(1) == b""
    found.close()


def test_a_region_that_was_not_left_is_made_anew(source, waiting, memory):
    send(source, cpr.HEADER, cpr.TAIL)
    found = waiting.result(5)
    found.give_ram(memory)
    assert memory.read(5000, 4) == bytes(4)
    found.close()


def test_ram_of_another_size_is_refused(source, waiting, ram):
    send(source, cpr.HEADER, cpr.entry("ram"), vmstream.FD_BYTE, fds=[ram.fd])
    source.sendall(cpr.TAIL)
    found = waiting.result(5)
    twice = GuestMemory(2 * SIZE, shared=True, name="ram")
    with pytest.raises(MigrationError, match=rf"^guest RAM is {2 * SIZE} bytes, its memfd {SIZE}$"):
        found.give_ram(twice)
    twice.close()
    found.close()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"garbagegarbage", "Not a migration stream (bad magic 67617262)"),
        (cpr.HEADER, "Failed to load CprState state: stream error: -5"),
        (cpr.HEADER + cpr.entry("ram") + b" ", "cpr-in no FD come with service byte"),
        (cpr.HEADER + cpr.entry("ram") + b"x", "cpr-in no FD come with service byte"),
    ],
)
def test_what_is_no_state_ends_the_start(source, waiting, data, words):
    source.sendall(data)
    source.shutdown(socket.SHUT_WR)
    with pytest.raises(WireError) as error:
        waiting.result(5)
    assert str(error.value) == words
    with suppress(ConnectionResetError):  # some of it was not read
        assert source.recv(1) == b""


def test_a_name_comes_once(source, waiting, ram):
    again = cpr.entry("ram"), vmstream.FD_BYTE
    send(source, cpr.HEADER, *again, *again, fds=[ram.fd, ram.fd])
    with pytest.raises(WireError, match=r"^two descriptors of the name ram$"):
        waiting.result(5)


def test_a_stranger_is_turned_away(waiting, path, monkeypatch):
    answers = [False, True]
    monkeypatch.setattr(sockets, "trusted_peer", lambda _: answers.pop(0))
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(path)
        assert stranger.recv(1) == b""
    with socket.socket(socket.AF_UNIX) as friend:
        friend.connect(path)
        send(friend, cpr.HEADER, cpr.TAIL)
        waiting.result(5).close()


@pytest.mark.parametrize(
    "channel",
    [
        {"transport": "socket", "type": "inet", "host": "127.0.0.1", "port": "0"},
        {"transport": "file", "filename": "x", "offset": 0},
    ],
)
def test_only_a_unix_socket_will_do(channel):
    with pytest.raises(QMPError, match=r"^bad cpr channel socket type; must be unix$"):
        predecessor.await_source(channel, check_peer=True)


def test_a_listening_socket_may_be_inherited(path, ram, memory):
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as source:
        listener.bind(path)
        listener.listen()
        source.connect(path)
        send(source, cpr.HEADER, cpr.entry("ram"), vmstream.FD_BYTE, cpr.TAIL, fds=[ram.fd])
        channel = {"transport": "socket", "type": "fd", "str": str(listener.detach())}
        found = predecessor.await_source(channel, check_peer=True)
        found.give_ram(memory)
        assert memory.read(5000, 4) == b"kept"
        found.close()
    assert os.path.exists(path)


def left(*numbers):
    entries = [cpr.entry(name) + cpr.number(number) for name, number in numbers]
    file = Fd(os.memfd_create("state"))
    os.write(file.fileno(), b"".join([cpr.HEADER, *entries, cpr.TAIL]))
    return file


def test_the_next_program_has_the_same_numbers(ram, memory):
    number = os.dup(ram.fd.fileno())
    os.set_inheritable(number, True)
    found = predecessor.inherit(left(("ram", number)))
    assert not os.get_inheritable(number)
    found.give_ram(memory)
    assert memory.fd.fileno() == number
    assert memory.read(5000, 4) == b"kept"
    found.close()


def test_a_number_that_is_not_open(ram):
    with pytest.raises(WireError, match=r"^fd 999999 was not inherited: Bad file descriptor$"):
        predecessor.inherit(left(("ram", 999999)))
