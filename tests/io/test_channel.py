"""Bytes and descriptors over real sockets."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys

import pytest

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd, close_all, open_descriptors
from qemu_sim.io.channel import MAX_FDS, Channel


@pytest.fixture
async def ends(listen):
    here, there = (listen(Channel(sock)) for sock in socket.socketpair())
    yield here, there
    for end in (here, there):
        end.channel.close()
        close_all(end.fds)


async def test_bytes_and_descriptors_arrive(ends):
    here, there = ends
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd:
        here.channel.send(b"hello", [fd])
        await there.until(lambda: there.data == b"hello")
        assert len(there.fds) == 1
        assert os.fstat(there.fds[0].fileno()) == os.fstat(fd.fileno())
        assert not os.get_inheritable(there.fds[0].fileno())


async def test_the_peers_orderly_end_is_told_once(ends):
    here, there = ends
    here.channel.close()
    await there.until(lambda: there.closed)
    assert there.closed == [None]
    assert here.closed == []


async def test_what_the_kernel_does_not_take_is_queued_with_its_descriptors(ends):
    here, there = ends
    there.channel.pause_reading()
    block = os.urandom(1 << 20)
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd:
        here.channel.send(block)
        here.channel.send(b"x", [fd])
    assert here.channel.queued_bytes > 0
    there.channel.start_reading()
    await there.until(lambda: len(there.data) == len(block) + 1)
    await here.channel.drain()
    assert there.data == block + b"x"
    assert len(there.fds) == 1
    assert here.channel.queued_bytes == 0


async def test_nothing_to_send_holds_up_nothing(ends):
    here, there = ends
    there.channel.pause_reading()
    here.channel.send(bytes(1 << 20))
    here.channel.send(b"")
    here.channel.send(b"x")
    there.channel.start_reading()
    await there.until(lambda: len(there.data) == (1 << 20) + 1)
    await here.channel.drain()


async def test_a_full_message_of_descriptors_passes_and_one_more_is_refused(ends):
    here, there = ends
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd:
        here.channel.send(b"x", [fd] * MAX_FDS)
        await there.until(lambda: len(there.fds) == MAX_FDS)
        with pytest.raises(WireError, match="cannot send 254 descriptors"):
            here.channel.send(b"x", [fd] * (MAX_FDS + 1))


async def test_descriptors_need_a_byte_to_ride_on(ends):
    here, _ = ends
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd, pytest.raises(WireError):
        here.channel.send(b"", [fd])


async def test_lost_descriptors_end_the_connection(ends):
    here, there = ends
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd:
        # The lowest free number is the next one; room is left for two.
        resource.setrlimit(resource.RLIMIT_NOFILE, (fd.fileno() + 3, limit[1]))
        try:
            here.channel.send(b"x", [fd] * 5)
            await there.until(lambda: there.closed)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert isinstance(there.closed[0], WireError)
    assert "RLIMIT_NOFILE" in str(there.closed[0])
    assert there.fds == []


async def test_last_words_of_a_peer_that_leaves_are_heard(ends):
    here, there = ends
    there.channel.send(b"goodbye")
    there.channel.close()
    here.channel.send(b"x" * 10)
    await here.until(lambda: here.closed)
    assert here.data == b"goodbye"


async def test_close_leaves_no_descriptor_behind(listen):
    before = open_descriptors()
    here, there = (listen(Channel(sock)) for sock in socket.socketpair())
    there.channel.pause_reading()
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd:
        here.channel.send(os.urandom(1 << 20))
        here.channel.send(b"x", [fd])
    here.channel.close()
    there.channel.close()
    assert open_descriptors() == before


async def test_tcp_carries_no_descriptors():
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    sock = socket.create_connection(server.sockets[0].getsockname())
    channel = Channel(sock)
    assert not channel.carries_fds
    assert channel.peer_credentials() is None
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd, pytest.raises(WireError):
        channel.send(b"x", [fd])
    channel.close()
    server.close()
    await server.wait_closed()


async def test_credentials_of_the_peer(ends):
    here, _ = ends
    assert here.channel.peer_credentials() == (os.getpid(), os.getuid(), os.getgid())


_ASKER = """
import socket, sys
sock = socket.socket(fileno=int(sys.argv[1]))
while sock.send(b"?") and sock.recv(1):
    pass
"""


def start_asker():
    """Start a peer that sends one byte for each that it gets; return it and our end."""
    here, there = socket.socketpair()
    with there:
        command = [sys.executable, "-c", _ASKER, str(there.fileno())]
        return subprocess.Popen(command, pass_fds=[there.fileno()]), here


async def test_a_peer_that_asks_again_at_once_is_answered_without_sleeping():
    asker, here = start_asker()
    channel, loop, done = Channel(here, lingers=True), asyncio.get_running_loop(), asyncio.Event()
    answered_in_this_turn = 0

    def end_turn():
        nonlocal answered_in_this_turn
        answered_in_this_turn = 0

    def answer(data, _fds):
        nonlocal answered_in_this_turn
        channel.send(b"!")
        answered_in_this_turn += 1
        if answered_in_this_turn > 1:
            done.set()
        loop.call_soon(end_turn)

    channel.on_data = answer
    channel.start_reading()
    try:
        async with asyncio.timeout(10):
            await done.wait()
    finally:
        channel.close()
        asker.wait()
