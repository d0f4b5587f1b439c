"""Every misuse of `getfd`, by our daemon and by a real QEMU: the same words, the same closed.

Whether a descriptor is still held is seen at the other end of its pipe.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
BARE = ("-nodefaults", "-display", "none", "-machine", "none")
OURS = [sys.executable, "-m", "qemu_sim"]
PROGRAMS = {
    "11.1": [*OURS, "-sim", "profile=11.1"],
    "7.2": [*OURS, "-sim", "profile=7.2"],
    "real": [QEMU],
}
TIMEOUT = 10  # seconds
NONE = "No file descriptor supplied via SCM_RIGHTS"
DIGIT = "Parameter 'fdname' expects a name not starting with a digit"


def until(condition):
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Pipe:
    """A pipe whose writing end is given away."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)

    @property
    def is_held(self) -> bool:
        try:
            os.read(self.reading, 1)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        os.close(self.reading)
        with suppress(OSError):
            os.close(self.writing)


class Talk:
    """One client of one machine."""

    def __init__(self, path) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(TIMEOUT)
        self._sock.connect(path)
        self._lines = self._sock.makefile("r")
        self._lines.readline()  # the greeting
        self._pipes: list[Pipe] = []
        self.ask("qmp_capabilities")

    def pipes(self, count):
        made = [Pipe() for _ in range(count)]
        self._pipes += made
        return made

    def ask(self, command, pipes=(), **arguments):
        """Send a command with descriptors; return the text of its error, None if there is none."""
        request = json.dumps({"execute": command, "arguments": arguments}).encode()
        socket.send_fds(self._sock, [request], [pipe.writing for pipe in pipes])
        for pipe in pipes:
            os.close(pipe.writing)
            pipe.writing = -1
        reply = json.loads(self._lines.readline())
        return reply["error"]["desc"] if "error" in reply else None

    def give(self, name, count=1):
        """Name the first of `count` descriptors; return the error, and their pipes."""
        pipes = self.pipes(count)
        return self.ask("getfd", pipes, fdname=name), *pipes

    def leave(self):
        self._lines.close()
        self._sock.close()

    def close(self):
        self.leave()
        for pipe in self._pipes:
            pipe.close()


@pytest.fixture(params=PROGRAMS)
def talk(request, tmp_path, environment):
    if request.param == "real" and QEMU is None:
        pytest.skip("no qemu-system-x86_64 is installed")
    path = str(tmp_path / "qmp")
    argv = [*PROGRAMS[request.param], *BARE, "-qmp", f"unix:{path},server=on,wait=off"]
    with subprocess.Popen(argv, env=environment) as process:
        try:
            until(lambda: _answers(path))
            made = Talk(path)
            yield made
            made.close()
        finally:
            process.kill()


def _answers(path):
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.connect(path)
        return True
    return False


def test_a_name_that_begins_with_a_digit(talk):
    error, pipe = talk.give("1a")
    assert error == DIGIT
    until(lambda: not pipe.is_held)
    assert talk.ask("getfd", fdname="a") == NONE


def test_an_empty_name_is_one(talk):
    error, pipe = talk.give("")
    assert error is None
    assert pipe.is_held
    assert talk.ask("closefd", fdname="") is None
    until(lambda: not pipe.is_held)


def test_a_name_is_given_again(talk):
    _, old = talk.give("a")
    error, new = talk.give("a")
    assert error is None
    until(lambda: not old.is_held)
    assert new.is_held


def test_what_has_no_name_is_not_closed(talk):
    text = "File descriptor named '{}' not found"
    assert talk.ask("closefd", fdname="b") == text.format("b")
    _, pipe = talk.give("a")
    assert talk.ask("closefd", fdname="a") is None
    assert talk.ask("closefd", fdname="a") == text.format("a")
    until(lambda: not pipe.is_held)


@pytest.mark.parametrize("count", [2, 20])  # of 16 at most QEMU hears at all
def test_more_than_one_with_a_command(talk, count):
    error, first, *rest = talk.give("a", count)
    assert error is None
    until(lambda: not any(pipe.is_held for pipe in rest))
    assert first.is_held
    assert talk.ask("getfd", fdname="b") == NONE


@pytest.mark.parametrize("command", ["query-status", "getfd", "no-such-command"])
def test_one_that_is_not_taken_waits_for_the_next_command(talk, command):
    (pipe,) = talk.pipes(1)
    talk.ask(command, [pipe])
    assert pipe.is_held
    assert talk.ask("getfd", fdname="a") is None
    assert talk.ask("getfd", fdname="b") == NONE
    assert pipe.is_held


def test_one_that_is_not_taken_makes_room_for_the_next(talk):
    first, second = talk.pipes(2)
    talk.ask("query-status", [first])
    talk.ask("query-status", [second])
    until(lambda: not first.is_held)
    assert second.is_held


def test_a_client_that_leaves_takes_along_what_has_no_name(talk):
    _, named = talk.give("a")
    (pending,) = talk.pipes(1)
    talk.ask("query-status", [pending])
    talk.leave()
    until(lambda: not pending.is_held)
    assert named.is_held
