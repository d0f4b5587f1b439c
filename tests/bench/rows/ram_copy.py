"""How fast guest RAM is copied to another process, beside sending as many bare bytes."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter

from figures import Row, median

from qemu_sim.io.channel import Channel
from qemu_sim.migration import ram
from qemu_sim.migration.ram_blocks import RamBlocks
from qemu_sim.migration.stream import Stream
from qemu_sim.virtio.memory import GuestMemory

_SIZE = 512 << 20
_ROUNDS = 5
_PIECE = 1 << 20
_TIMEOUT = 60.0  # seconds
_ENOUGH = 1e9  # bytes a second ...
_SHARE = 0.5  # ... or this much of what bare bytes reach


def measure(directory, qemus):
    """Copy RAM of which no page is zero."""
    memory = GuestMemory(_SIZE, shared=False)
    page = os.urandom(4096)
    for offset in range(0, _SIZE, len(page)):
        memory.map[offset : offset + len(page)] = page
    rate = median([_timed(_copy, memory) for _ in range(_ROUNDS)])
    bare = median([_timed(_send, memory) for _ in range(_ROUNDS)])
    memory.close()
    ratio = rate / bare
    return [
        Row(
            f"RAM copied over a unix socket, {_SIZE >> 20} MiB",
            f"{_gigabytes(rate)} = {ratio:.2f} x bare",
            f">= {_gigabytes(_ENOUGH)} or {_SHARE} x bare",
            rate >= _ENOUGH or ratio >= _SHARE,
            {"bare send and recv": _gigabytes(bare)},
        )
    ]


def _gigabytes(rate) -> str:
    return f"{rate / 1e9:.2f} GB/s"


def _timed(send, memory) -> float:
    """Return bytes a second, from the first byte sent to the word that all is there."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        _RECEIVERS[send](theirs)
        os._exit(0)
    theirs.close()
    begun = time.perf_counter()
    send(ours, memory)
    spent = time.perf_counter() - begun
    os.waitpid(child, 0)
    ours.close()
    return _SIZE / spent


def _copy(sock, memory) -> None:
    asyncio.run(_copy_pages(sock.dup(), memory))


async def _copy_pages(sock, memory) -> None:
    stream = Stream(Channel(sock), _TIMEOUT, lambda *_: None)
    for pieces in ram.pages(memory, memory.extents()):
        stream.write_pieces(pieces)
        await stream.flush()
    stream.write(ram.END_OF_PART)
    await stream.flush()
    await stream.read(1)
    stream.close()


def _load(sock) -> None:
    asyncio.run(_load_pages(sock))


async def _load_pages(sock) -> None:
    stream, memory = (
        Stream(Channel(sock), _TIMEOUT, lambda *_: None),
        GuestMemory(_SIZE, shared=False),
    )
    await ram.load(stream, memory, RamBlocks(memory, Counter()))
    stream.write(b"x")
    await stream.flush()
    await asyncio.sleep(0)
    stream.close()


def _send(sock, memory) -> None:
    with memory.view as view:
        for offset in range(0, _SIZE, _PIECE):
            sock.sendall(view[offset : offset + _PIECE])
    sock.recv(1)


def _receive(sock) -> None:
    memory = GuestMemory(_SIZE, shared=False)
    with memory.view as view:
        received = 0
        while received < _SIZE:
            received += sock.recv_into(view[received : received + _PIECE])
    sock.send(b"x")


_RECEIVERS = {_copy: _load, _send: _receive}
