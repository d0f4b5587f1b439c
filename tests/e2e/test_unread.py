"""A client that asks and never reads: the daemon's memory has a limit, and it serves the next.

QEMU keeps what is unread without limit; ours is `MAX_UNREAD`.
"""

import contextlib
import re
import socket
import subprocess
import sys
import time

import pytest

from qemu_sim.monitor.connection import MAX_UNREAD
from qemu_sim.testing.listening import is_listening

MIB = 1 << 20
TIMEOUT = 60  # seconds
# The interpreter, the recorded QEMU, the buffers of one answer.
OWN = 100 * MIB
REQUEST = b'{"execute":"query-qmp-schema"}\n'


@pytest.fixture
def daemon(tmp_path, environment):
    path, log = str(tmp_path / "qmp"), tmp_path / "log"
    arguments = ["-machine", "none", "-qmp", f"unix:{path},server=on,wait=off"]
    with open(log, "wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "qemu_sim", *arguments], stderr=stderr, env=environment
        )
    deadline = time.monotonic() + TIMEOUT
    while not is_listening(path):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield path, log, process.pid
    process.terminate()
    assert process.wait(TIMEOUT) == 0


def connected(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(TIMEOUT)
    client.connect(path)
    client.sendall(b'{"execute":"qmp_capabilities"}\n')
    return client


def peak(pid):
    """The most memory that a process has had, in bytes."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmHWM:\s*(\d+) kB", file.read())[1]) << 10


def test_memory_has_a_limit(daemon):
    path, log, pid = daemon
    with connected(path) as client, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while True:  # until it is dropped
            client.sendall(REQUEST)
    dropped = re.search(r"QMP client dropped: it left (\d+) bytes unread", log.read_text())
    assert int(dropped[1]) > MAX_UNREAD
    assert peak(pid) < MAX_UNREAD + OWN
    with connected(path) as client, client.makefile("rb") as lines:
        assert b"QMP" in lines.readline()
        assert b"return" in lines.readline()
