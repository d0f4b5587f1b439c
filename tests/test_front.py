"""What of a machine is there before its event loop."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from qemu_sim.argv.parse import parse
from qemu_sim.argv.report import Report
from qemu_sim.front import Front
from qemu_sim.machine.configuration import StartError

GREETS = """
import builtins, sys
compiled, builtin_compile = [], compile
def compile(source, *args, **kwargs):
    if type(source) is str:  # a module's source is bytes
        compiled.append(source)
    return builtin_compile(source, *args, **kwargs)
builtins.compile = compile
from qemu_sim.argv.parse import parse
from qemu_sim.argv.report import Report
from qemu_sim.front import Front
Front(parse(sys.argv[1:], Report("qemu-sim")), print)
print(*sys.modules)
print("compiled:", *compiled)
"""


def front(*arguments):
    return Front(parse(list(arguments), Report("qemu-sim")), lambda _: None)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "qmp")


@pytest.fixture(scope="module")
def greeted():
    """Return what was loaded, and what was compiled, in a process that greeted a client."""
    ours, theirs = socket.socketpair()
    monitor = ["-chardev", f"socket,id=c0,server=off,fd={theirs.fileno()}", "-qmp", "chardev:c0"]
    with ours, theirs:
        printed = subprocess.run(
            [sys.executable, "-c", GREETS, "-machine", "none", *monitor],
            pass_fds=[theirs.fileno()],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        ours.settimeout(5)
        assert json.loads(ours.recv(4096))["QMP"]["capabilities"] == ["oob"]
    return printed.splitlines()


def test_a_client_is_greeted_before_an_event_loop_is_loaded(greeted):
    assert {"asyncio", "qemu_sim.machine.machine", "pydantic"}.isdisjoint(greeted[0].split())


def test_a_client_is_greeted_before_python_has_compiled_anything(greeted):
    """A NamedTuple compiles each annotation that is text; the first takes a millisecond."""
    assert greeted[1].split() == ["compiled:"]


def test_what_nobody_takes_is_given_back(path):
    made = front("-qmp", f"unix:{path},server=on,wait=off")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        made.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert not os.path.exists(path)


def test_a_second_monitor_that_cannot_open_closes_the_first(path):
    with pytest.raises(StartError, match="Failed to bind socket"):
        front(
            *("-qmp", f"unix:{path},server=on,wait=off"),
            *("-qmp", "unix:/nowhere/qmp,server=on,wait=off"),
        )
    assert not os.path.exists(path)


def test_a_bad_machine_leaves_the_socket_of_another_alone(path):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        with pytest.raises(StartError, match="unsupported machine type"):
            front("-machine", "bogus", "-qmp", f"unix:{path},server=on,wait=off")
        assert os.path.exists(path)


def test_a_person_is_greeted_by_a_monitor_only():
    ours, theirs = socket.socketpair()
    with ours:
        chardev = f"socket,id=c0,server=off,fd={theirs.detach()}"
        made = front("-chardev", chardev, "-mon", "chardev=c0,mode=readline")
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
        made.close()
