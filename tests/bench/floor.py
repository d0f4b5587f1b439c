"""The least that handing over N descriptors can take: one message, one byte back.

Both processes rest before each round, as they do before a hand-over: waking a processor
that has nothing to do takes several times as long as the message itself.
"""

from __future__ import annotations

import array
import os
import socket
import time

_ROUNDS = 200
_REST = 0.01  # seconds


def round_trips(count: int) -> list[float]:
    """Send `count` descriptors to another process and wait for its answer; return the seconds."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    child = os.fork()
    if child == 0:
        ours.close()
        _answer(theirs, count)
    theirs.close()
    numbers = [os.eventfd(0) for _ in range(count)]
    times = [_round_trip(ours, numbers) for _ in range(_ROUNDS)]
    for number in numbers:
        os.close(number)
    ours.close()
    os.waitpid(child, 0)
    return times


def _round_trip(sock: socket.socket, numbers: list[int]) -> float:
    time.sleep(_REST)
    begun = time.perf_counter()
    rights = array.array("i", numbers)
    sock.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    sock.recv(1)
    return time.perf_counter() - begun


def _answer(sock: socket.socket, count: int) -> None:
    """Own what comes, say so, and close it, until the other end is gone."""
    while True:
        data, numbers, _, _ = socket.recv_fds(sock, 1, count)
        if not data:
            os._exit(0)
        sock.send(b"y")
        for number in numbers:
            os.close(number)
