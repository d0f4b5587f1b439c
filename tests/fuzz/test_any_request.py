"""Whatever a client sends to a machine, it gets an answer, and no bug shows."""

import asyncio
import json
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qemu_sim.argv.parse import parse
from qemu_sim.argv.report import Report
from qemu_sim.front import Front
from qemu_sim.host import Host
from qemu_sim.io.channel import Channel

ARGV = [
    *("-M", "q35,memory-backend=ram", "-m", "64"),
    *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
    *("-chardev", "null,id=c0", "-device", "pcie-root-port,id=d0"),
]
CLASSES = {"GenericError", "CommandNotFound", "DeviceNotFound", "DeviceNotActive", "KVMMissingCap"}
# Ends this very process, or is what others test with a great deal of input.
SPARED = {"x-sim-inject-fault", "qmp_capabilities"}
LIMIT = 10.0  # seconds in which everything is answered
END = {"execute": "query-version", "id": "the end"}
# Files are made in a directory of the test, and nothing of it matters to the next example.
shared = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def started(profile, *more):
    arguments = [*ARGV, "-sim", f"profile={profile}", *more]
    return Host(Front(parse(arguments, Report("qemu-sim")), lambda _text: None))


class Client:
    """A client of one more monitor of a host."""

    def __init__(self, host):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        host.monitors.add("fuzz").attach(Channel(ours), local=True)
        self._sock = theirs
        self._data = b""

    async def send(self, data):
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    async def message(self):
        """Next message; None once the connection has ended."""
        while b"\r\n" not in self._data:
            async with asyncio.timeout(LIMIT):
                got = await asyncio.get_running_loop().sock_recv(self._sock, 1 << 20)
            if not got:
                return None
            self._data += got
        line, _, self._data = self._data.partition(b"\r\n")
        # QEMU, and so we, write inf for what is too great a number.
        return json.loads(line.replace(b": inf", b": 0").replace(b": -inf", b": 0"))

    async def answers(self):
        """What is answered until the marker is, without events."""
        await self.send(b"\xff\n" + json.dumps(END).encode())
        found = []
        while (message := await self.message()) is not None:
            if message.get("id") == "the end":
                break
            if "event" not in message:
                found.append(message)
        return found

    def close(self):
        self._sock.close()


async def live(host):
    try:
        await host.wait()
    finally:
        await host.close()


async def talk(profile, data, *, negotiate=True):
    """Send `data` to a machine of its own; return the answers."""
    host = started(profile)
    await host.start()
    client = Client(host)
    life = asyncio.create_task(live(host))
    try:
        await client.message()
        if negotiate:
            await client.send(b'{"execute":"qmp_capabilities"}')
            await client.message()
        await client.send(data)
        answers = await client.answers()
    finally:
        client.close()
        host.machine.shut_down("host-signal")
        async with asyncio.timeout(LIMIT):
            await life
    assert not host.machine.bugs
    return answers


def check(answers):
    for answer in answers:
        if "error" in answer:
            assert answer["error"]["class"] in CLASSES
            assert "bug in qemu-sim" not in answer["error"]["desc"]
        else:
            assert "return" in answer


@pytest.fixture(scope="module")
def requests(near):
    """Make a strategy for a few requests with arguments of their schema."""

    def of(schema):
        def request(name):
            arguments = near(schema, schema.command(name).argument_type)
            return st.builds(lambda given: {"execute": name, "arguments": given}, arguments)

        names = sorted(set(schema.names("command")) - SPARED)
        one = st.sampled_from(names).flatmap(request)
        return st.lists(one, min_size=1, max_size=6)

    return of


@pytest.mark.parametrize("profile", ["7.2", "11.1"])
@shared
@given(data=st.data())
def test_any_command(requests, profile, data):
    async def go():
        from qemu_sim.qapi import profile as profiles

        drawn = data.draw(requests(profiles.load(profile).extended_schema("devices")))
        text = "".join(json.dumps(request) + "\n" for request in drawn)
        answers = await talk(profile, text.encode())
        check(answers)
        ended = {"quit"} & {request["execute"] for request in drawn}
        # After the parser was reset by the marker, one answer is an error about that byte.
        assert ended or len(answers) == len(drawn) + 1

    asyncio.run(go())


FRAGMENTS = (
    b"""{~}~[~]~:~,~"a"~'b'~{"execute":"stop"}~{"execute":"cont","id":1}~{"execute":"query-~\xff~\xfe"""
    b"""~{"exec-oob":"query-status"}~{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}"""
    b"""~{"execute":"qmp_capabilities"}~{"execute":"getfd","arguments":{"fdname":"a"}}~1e400~-~"\\u"~\n~ """
).split(b"~")


@pytest.mark.parametrize("profile", ["7.2", "11.1"])
@shared
@given(
    data=st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join) | st.binary(max_size=40),
    negotiate=st.booleans(),
)
def test_any_bytes(profile, data, negotiate):
    answers = asyncio.run(talk(profile, data, negotiate=negotiate))
    check(answers)
