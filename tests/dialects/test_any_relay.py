"""Somebody between the two changes what they say, by chance: bytes, JSON, descriptors, time.

Both come to an end without a bug, and leave nothing behind. In a hand-over never do both run;
without one, a lie about how it ended may say that nobody has started where somebody has.
"""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import replace

import pytest
from meeting import SIDES, Meeting
from pair import machines
from relay import Relay
from scenarios import SCENARIOS
from speakers import SPEAKERS

FDS_AT_ONCE = 16  # as many as the relay takes
LONGER = 0.5  # seconds, than the two wait
VALUES = (None, True, -1, 0, 1 << 31, 1 << 64, "", "x", [], {}, [[]], {"x": None})


class Liar:
    """Changes one or two of the pieces that pass."""

    def __init__(self, seed) -> None:
        self.random = random.Random(seed)
        self.turns = self.random.sample(range(12), self.random.randrange(1, 3))
        self.null = os.open(os.devnull, os.O_RDONLY)
        self.passed = 0

    def tamper(self, forth, data, fds):
        """Return what goes on in place of a piece, None to cut the connection."""
        self.passed += 1
        if self.passed - 1 not in self.turns:
            return [data], fds
        acts = [self.flip, self.twist, self.twist, self.cut, self.insert, self.delete, self.stall]
        if fds:
            acts += [self.lose, self.add, self.change, self.reverse]
        return self.random.choice(acts)(data, fds)

    def flip(self, data, fds):
        changed = bytearray(data)
        changed[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        return [changed], fds

    def twist(self, data, fds):
        """Change a value in one of the JSON texts, which stays as long as it is."""
        found = [at for at in range(len(data)) if data[at : at + 2] == b'{"']
        if not found:
            return self.flip(data, fds)
        at = self.random.choice(found)
        try:
            value, size = json.JSONDecoder().raw_decode(data[at:].decode("latin-1"))
        except ValueError:  # cut off by the end of the piece
            return self.flip(data, fds)
        value[self.random.choice(sorted(value))] = self.random.choice(VALUES)
        text = json.dumps(value, separators=(",", ":")).encode()
        return [data[:at] + text[:size].ljust(size) + data[at + size :]], fds

    def cut(self, data, fds):
        return None

    def insert(self, data, fds):
        at = self.random.randrange(len(data))
        return [data[:at] + self.random.randbytes(4) + data[at:]], fds

    def delete(self, data, fds):
        at = self.random.randrange(len(data))
        return [data[:at] + data[at + 3 :] or b"\0"], fds

    def stall(self, data, fds):
        time.sleep(LONGER)
        return [data], fds

    def lose(self, data, fds):
        return [data], fds[1:]

    def add(self, data, fds):
        return [data], [*fds, self.null][-FDS_AT_ONCE:]

    def change(self, data, fds):
        return [data], [self.null, *fds[1:]]

    def reverse(self, data, fds):
        return [data], fds[::-1]


def play(make, dialect, seed) -> None:
    returns = seed % 2 == 0
    pair = Meeting(make, dialect, replace(SCENARIOS[0], return_path=returns), patience=0.3)
    liar = Liar(f"{dialect} {seed}")
    pair.set_up()
    pair.listen(f"unix:{pair.path('socket')}")
    relay = Relay(pair.path("relay"), pair.path("socket"), liar.tamper, 1 << 12)
    pair.send(f"unix:{relay.path}")
    for name in SIDES:
        pair.ended(pair.side(name))
    relay.close()
    os.close(liar.null)
    assert dialect != "devices" or not pair.both_ran
    if not any(map(pair.runs, SIDES)):
        pair.source.execute("cont")
        assert pair.runs("source")


@pytest.mark.parametrize("dialect", SPEAKERS)
def test_they_end_and_leave_nothing(netns, dialect):
    for seed in range(8 if dialect != "devices" else 24):
        try:
            with machines("in-process") as make:
                play(make, dialect, seed)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
