"""A machine of commands made up for these tests, its monitors, and clients on real sockets."""

import asyncio
import json
import socket
import types

import pytest

from qemu_sim.clock import ManualClock
from qemu_sim.commands import registry
from qemu_sim.errors import QMPError
from qemu_sim.fds import close_all
from qemu_sim.io.channel import Channel
from qemu_sim.machine.events import Events
from qemu_sim.monitor.monitors import Monitors


class Machine:
    """What monitors need of a machine."""

    def __init__(self):
        self.profile = types.SimpleNamespace(version=(11, 1, 3), package="test")
        self.options = types.SimpleNamespace(check_peer=True)
        self.schema = self
        self.clock = ManualClock()
        self.events = Events(self.clock)
        self.bugs = []
        self.exited = asyncio.get_running_loop().create_future()
        self.gates = {}
        self.ran = []

    def command(self, name):
        return (
            types.SimpleNamespace(allow_oob=name.startswith("oob-")) if name in COMMANDS else None
        )

    def check_initialized(self, _):
        pass

    def check_arguments(self, _, arguments):
        return arguments

    def gate(self, name):
        """An event that the command `block` waits for."""
        return self.gates.setdefault(name, asyncio.Event())


def _stop(machine):
    machine.events.emit("STOP")


def _quit(machine):
    machine.events.emit("SHUTDOWN")
    machine.exited.set_result(0)


def _fail(_machine):
    raise QMPError("as it should")


def _crash(_machine):
    raise KeyError("surprise")


async def _block(machine, *, name):
    await machine.gate(name).wait()
    machine.ran.append(name)
    return name


async def _crash_later(_machine):
    await asyncio.sleep(0)
    raise KeyError("late surprise")


def _getfd(_machine, monitor, *, fdname):
    fd = monitor.take_fd()
    if fd is None:
        raise QMPError("No file descriptor supplied via SCM_RIGHTS")
    close_all([monitor.named_fds[fdname]] if fdname in monitor.named_fds else [])
    monitor.named_fds[fdname] = fd


RUNS = {
    "stop": _stop,
    "quit": _quit,
    "fail": _fail,
    "crash": _crash,
    "crash-later": _crash_later,
    "block": _block,
    "oob-block": _block,
    "no-json": lambda _machine: object(),
    "hello": lambda machine: machine.ran.append("hello"),
    "blob": lambda _machine, *, size: "x" * size,
    "x-sim-hello": lambda _machine: "hello",
}
COMMANDS = {name: registry.Command(name, run, False, False) for name, run in RUNS.items()}
COMMANDS["getfd"] = registry.Command("getfd", _getfd, True, False)


@pytest.fixture
async def machine(monkeypatch):
    monkeypatch.setattr(registry, "find", COMMANDS.get)
    return Machine()


@pytest.fixture
async def monitors(machine):
    monitors = Monitors(machine)
    yield monitors
    await monitors.close()


class Client:
    """A QMP client on a connected socket."""

    def __init__(self, sock):
        sock.setblocking(False)
        self.sock = sock
        self.buffer = b""

    async def line(self):
        """Next message, as bytes without the line's end; None at the end of the stream."""
        while b"\r\n" not in self.buffer:
            loop = asyncio.get_running_loop()
            data = await asyncio.wait_for(loop.sock_recv(self.sock, 65536), 5)
            if not data:
                assert not self.buffer
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    async def message(self):
        line = await self.line()
        return None if line is None else json.loads(line)

    def send(self, text):
        self.sock.sendall(text.encode())

    async def ask(self, text):
        self.send(text)
        return await self.message()

    async def negotiate(self, *, oob=False):
        assert "QMP" in await self.message()
        enable = ["oob"] if oob else []
        request = {"execute": "qmp_capabilities", "arguments": {"enable": enable}}
        assert await self.ask(json.dumps(request)) == {"return": {}}
        return self

    async def silent(self):
        """Whether nothing comes, after everything that can run has run."""
        for _ in range(5):
            await asyncio.sleep(0)
        try:
            self.buffer += self.sock.recv(65536)
        except BlockingIOError:
            return not self.buffer
        return False


@pytest.fixture
def client_on():
    """Make a client of a connected socket, closed at the end."""
    socks = []

    def client_on(sock):
        socks.append(sock)
        return Client(sock)

    yield client_on
    for sock in socks:
        sock.close()


@pytest.fixture
def connect(client_on):
    """Connect a client to a unix path or a TCP port."""

    def connect(where):
        local = isinstance(where, str)
        sock = socket.socket(socket.AF_UNIX if local else socket.AF_INET)
        sock.connect(where if local else ("127.0.0.1", where))
        return client_on(sock)

    return connect


@pytest.fixture
async def attached(monitors, client_on):
    """Make a monitor and a client of it, joined by a socket pair."""

    def attach(id="m0", *, local=True):
        ours, theirs = socket.socketpair()
        monitor = monitors.add(id)
        monitor.attach(Channel(ours), local=local)
        client = client_on(theirs)
        client.monitor = monitor
        return client

    return attach
