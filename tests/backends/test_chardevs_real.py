"""`query-chardev` names: ours beside those of a real QEMU in the same situations."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess

import pytest

from qemu_sim.backends.chardev_file import ChardevFile
from qemu_sim.backends.chardev_null import ChardevNull
from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.errors import QMPError

QEMU = "qemu-system-x86_64"


class RealQEMU:
    """A QEMU without a machine, spoken to over stdio."""

    def __init__(self):
        command = [QEMU, "-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, text=True, **pipes)
        found = self._read()["QMP"]["version"]["qemu"]
        self.version = (found["major"], found["minor"], found["micro"])
        self.execute("qmp_capabilities")

    def execute(self, name, **arguments):
        json.dump({"execute": name, "arguments": arguments}, self._process.stdin)
        self._process.stdin.flush()
        return self._read()

    def add(self, kind, options):
        backend = {"type": kind, "data": options}
        return self.execute("chardev-add", id="c0", backend=backend)

    def filename(self):
        found = self.execute("query-chardev")["return"]
        return next(entry["filename"] for entry in found if entry["label"] == "c0")

    def close(self):
        self._process.kill()
        self._process.communicate()

    def _read(self):
        while "event" in (message := json.loads(self._process.stdout.readline())):
            pass
        return message


@pytest.fixture
def real():
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed")
    running = RealQEMU()
    yield running
    running.close()


@pytest.fixture
def addresses(tmp_path):
    """Addresses by name: a unix and a TCP listener, and free ones."""
    with socket.socket(socket.AF_UNIX) as unix, socket.socket() as tcp:
        unix.bind(str(tmp_path / "peer"))
        tcp.bind(("127.0.0.1", 0))
        for listener in (unix, tcp):
            listener.listen()
        host = "127.0.0.1"
        yield {
            "unix-peer": {"type": "unix", "data": {"path": unix.getsockname()}},
            "tcp-peer": {"type": "inet", "data": {"host": host, "port": str(tcp.getsockname()[1])}},
            "unix-free": {"type": "unix", "data": {"path": str(tmp_path / "free")}},
            "tcp-free": {"type": "inet", "data": {"host": host, "port": "0"}},
        }


@pytest.mark.parametrize(
    ("address", "server"),
    [("unix-peer", False), ("tcp-peer", False), ("unix-free", True), ("tcp-free", True)],
)
async def test_sockets(real, addresses, address, server):
    options = {"addr": addresses[address], "server": server}
    options |= {"wait": False} if server else {}
    assert real.add("socket", options) == {"return": {}}
    theirs = real.filename()
    if address == "unix-free":
        real.close()
    ours = ChardevSocket("c0", options)
    ours.version = real.version
    await ours.open()
    assert _without_free_ports(ours.filename) == _without_free_ports(theirs)
    ours.close()


async def test_null_and_file(real, tmp_path):
    real.add("null", {})
    assert real.filename() == ChardevNull("c0", {}).filename
    real.execute("chardev-remove", id="c0")
    options = {"out": str(tmp_path / "out")}
    real.add("file", options)
    ours = ChardevFile("c0", options)
    await ours.open()
    assert real.filename() == ours.filename
    ours.close()


@pytest.mark.parametrize("kind", ["file", "socket"])
async def test_errors(real, kind):
    address = {"type": "unix", "data": {"path": "/none/x"}}
    options = {"file": {"out": "/none/x"}, "socket": {"addr": address, "server": False}}[kind]
    made = {"file": ChardevFile, "socket": ChardevSocket}[kind]("c0", options)
    theirs = real.add(kind, options)["error"]["desc"]
    with pytest.raises(QMPError) as ours:
        await made.open()
    made.close()
    assert f"Failed to add chardev 'c0': {ours.value}" == theirs


def _without_free_ports(name):
    return re.sub(r"127\.0\.0\.1:\d+(?=$|,| <->)", "127.0.0.1:PORT", name)
