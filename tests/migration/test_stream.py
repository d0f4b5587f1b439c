"""Descriptors find their byte however the stream is cut."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qemu_sim.errors import MigrationError
from qemu_sim.fds import Fd
from qemu_sim.io.channel import Channel
from qemu_sim.migration import file_input
from qemu_sim.migration.stream import Stream

PIECES = st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.none()), max_size=30)
CUTS = st.lists(st.integers(1, 50), max_size=60)


@settings(deadline=None, max_examples=60)
@given(pieces=PIECES, cuts=CUTS)
def test_any_cut_gives_each_byte_its_descriptor(pieces, cuts):
    asyncio.run(_cut_and_read(pieces, cuts))


async def _cut_and_read(pieces, cuts):
    """None in `pieces` is a descriptor on a byte of its own; `cuts` are lengths of writes."""
    here, there = socket.socketpair()
    stream = Stream(Channel(there), 5, lambda *_: None)
    fds = [Fd(os.eventfd(7, os.EFD_CLOEXEC)) for piece in pieces if piece is None]
    inodes = [_identity(fd.fileno()) for fd in fds]
    waiting, sizes = iter(fds), iter(cuts)
    for piece in pieces:
        if piece is None:
            socket.send_fds(here, [b" "], [next(waiting).fileno()])
            continue
        while piece:
            size = next(sizes, len(piece))
            here.sendall(piece[:size])
            piece = piece[size:]  # noqa: PLW2901
            await asyncio.sleep(0)
    found = []
    for piece in pieces:
        if piece is None:
            with await stream.read_fd("a descriptor") as fd:
                found.append(_identity(fd.fileno()))
        else:
            assert await stream.read(len(piece)) == piece
    stream.check_all_claimed()
    stream.close()
    here.close()
    for fd in fds:
        fd.close()
    assert found == inodes


async def test_a_descriptor_on_other_bytes_is_found_out():
    here, there = socket.socketpair()
    stream = Stream(Channel(there), 5, lambda *_: None)
    with here, Fd(os.eventfd(0)) as fd:
        socket.send_fds(here, [b"ab"], [fd.fileno()])
        here.sendall(b" ")
        assert await stream.read(2) == b"ab"
        with pytest.raises(MigrationError, match=r"received fd \d+ was never claimed"):
            await stream.read_fd("a queue")
    stream.close()


async def test_waiting_for_a_silent_peer_ends_and_says_for_what():
    here, there = socket.socketpair()
    stream = Stream(Channel(there), 0.05, lambda *_: None)
    stream.phase = "the answer"
    with here, pytest.raises(MigrationError, match=r"after 0.05 s while waiting for the answer"):
        await stream.read(1)
    stream.close()


async def test_an_end_that_comes_while_polling_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(file_input, "_EAGER_SECONDS", 30)
    path = str(tmp_path / "channel")
    leave = f"import socket as s; p = s.socket(s.AF_UNIX); p.connect({path!r}); p.recv(1)"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        peer = subprocess.Popen([sys.executable, "-c", leave])  # noqa: ASYNC220  (polled for below)
        there, _ = listener.accept()
    stream = Stream(Channel(there), 30, lambda *_: None)
    stream.eager = True
    stream.send_now(b"x")  # it leaves now, and nobody sleeps who could be woken
    async with asyncio.timeout(15):
        with pytest.raises(MigrationError, match="Connection reset by peer"):
            await stream.read(1)
    stream.close()
    assert peer.wait() == 0


async def test_the_end_is_told_in_qemus_words():
    here, there = socket.socketpair()
    stream = Stream(Channel(there), 5, lambda *_: None)
    here.close()
    with pytest.raises(MigrationError, match="Unable to read from socket: Connection reset"):
        await stream.read(1)
    with pytest.raises(MigrationError, match="Unable to write to socket: Broken pipe"):
        stream.write(b"x")
        await stream.flush()
    stream.close()


def _identity(number: int) -> str:
    with open(f"/proc/self/fdinfo/{number}") as info:
        return next(line for line in info if line.startswith("eventfd-id"))
