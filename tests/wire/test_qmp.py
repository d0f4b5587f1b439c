"""A QMP session without a socket: what a real QEMU said, and what order it kept."""

import hashlib
import itertools
import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qemu_sim.errors import CommandNotFound, QMPError
from qemu_sim.fds import Fd, close_all
from qemu_sim.wire.qmp import Session

DATA = os.path.join(os.path.dirname(__file__), "..", "data")
VERSIONS = ["11.1.3", "7.2.22"]
GROUPS = {"greeting", "negotiation", "envelope", "id", "json", "json2", "framing", "fd", "oob"}
# Their replies come from the argument checks or from a machine, not from the session.
ELSEWHERE = {
    "env-args-unexpected",
    "fd-addfd-string",
    "fd-addfd",
    "fd-removefd-noset",
    "fd-removefd-nofd",
    "oob-migrate-pause",
    "oob-query-yank",
    "oob-migrate-recover",
    "oob-extra-arg",
    "oob-inband-error-queued",
}
NEGOTIATE = {
    "raw": b"",
    "neg": b'{"execute":"qmp_capabilities"}\n',
    "oob": b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}\n',
}


def version_of(name):
    return tuple(map(int, name.split(".")))


class Client:
    """A session with a few commands behind it, run at once."""

    def __init__(self, version="11.1.3", prelude="neg"):
        self.session = Session(version_of(version), f"v{version}")
        self.named = {}
        step = {"singlestep": False} if version.startswith("7") else {}
        self.status = {"running": True, **step, "status": "running"}  # in the schema's order
        if prelude != "raw":
            self.session.take_output()
            assert self.send(NEGOTIATE[prelude]) == b'{"return": {}}\r\n'

    def send(self, data, fds=()):
        self.session.receive(data, fds)
        while (request := self.session.next_request()) is not None:
            try:
                self.session.reply(request, self.run(request))
            except QMPError as error:
                self.session.error(request, error)
        return self.session.take_output()

    def run(self, request):
        name, arguments = request.name, request.arguments
        if request.oob:
            raise QMPError(f"The command {name} does not support OOB")
        if name == "query-status":
            return self.status
        if name in ("getfd", "add-fd"):
            fd = self.session.take_fd()
            if fd is None:
                raise QMPError("No file descriptor supplied via SCM_RIGHTS")
            fdname = arguments["fdname"]
            if fdname[:1].isdigit():
                fd.close()
                raise QMPError("Parameter 'fdname' expects a name not starting with a digit")
            self.close_named(fdname)
            self.named[fdname] = fd
        elif name == "closefd":
            if not self.close_named(arguments["fdname"]):
                raise QMPError(f"File descriptor named '{arguments['fdname']}' not found")
        elif name != "query-name":
            raise CommandNotFound(f"The command {name} has not been found")
        return None

    def close_named(self, name):
        fd = self.named.pop(name, None)
        if fd:
            fd.close()
        return fd

    def close(self):
        self.session.finish()
        close_all(self.named.values())


@pytest.fixture
def client():
    client = Client()
    yield client
    client.close()


def null():
    return Fd(os.open(os.devnull, os.O_RDWR))


def error(text, class_="GenericError", **echo):
    # `id` comes before `error`, by QEMU's hash.
    head = "".join(f'"{key}": {json.dumps(value)}, ' for key, value in echo.items())
    body = f'"error": {{"class": "{class_}", "desc": {json.dumps(text)}}}'
    return f"{{{head}{body}}}\r\n".encode()


def done(**echo):
    tail = "".join(f', "{key}": {json.dumps(value)}' for key, value in echo.items())
    return f'{{"return": {{}}{tail}}}\r\n'.encode()


def normalised(data):
    data = re.sub(rb'\{"micro": \d+, "minor": \d+, "major": \d+\}', b"VERSION", data)
    return re.sub(rb'("package": )"[^"]*"', rb"\1PACKAGE", data)


def recorded(version):
    with open(os.path.join(DATA, f"recorded-{version}.jsonl"), encoding="ascii") as file:
        cases = [json.loads(line) for line in file]
    return [case for case in cases if case["group"] in GROUPS and case["case"] not in ELSEWHERE]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("bytewise", [False, True])
def test_recorded_sessions(version, bytewise):
    cases = recorded(version)
    assert len(cases) > 110
    for case in cases:
        client = Client(version, case["prelude"])
        sent = b""
        for step in case["steps"]:
            if step["op"] == "send":
                fds = [null() for _ in step.get("fds", ())]
                data = step["data"].encode("latin-1")
                # A descriptor rides on the first byte.
                parts = [data[at : at + 1] for at in range(len(data))] if bytewise else [data]
                sent += client.send(parts[0], fds)
                sent += b"".join(map(client.send, parts[1:]))
            elif step["op"] == "recv":
                sent += client.session.take_output()
            if "sha256" in step:
                assert hashlib.sha256(sent).hexdigest() == step["sha256"], case["case"]
                sent = b""
            elif not step.get("noread") and "expect" in step:
                want = step["expect"].encode("latin-1")
                assert normalised(sent) == normalised(want), case["case"]
                sent = b""
        client.close()


@given(cuts=st.lists(st.integers(0, 400), max_size=8))
def test_any_cut_gives_the_same_answers(cuts):
    data = (
        b'{"execute":"query-status"} \n{"execute":"qmp_capabilities", "id":[1,{"b":2,"a":1}]}\n'
        b'{"execute":"query-status","id":"\\u00e9"}{]{"execute":1}@{"id":4}\r\n'
        b"{'execute':'query-name','id':'x'}1\n\xff{\"execute\":\"nope\",\"arguments\":{}}"
    )
    want = Client(prelude="raw").send(data)
    client = Client(prelude="raw")
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    got = b"".join(client.send(data[begin:end]) for begin, end in itertools.pairwise(edges))
    assert got == want
    assert want.count(b"\r\n") == 12


def test_greeting_is_the_first_thing_sent():
    session = Session((11, 1, 3), "Debian 1:11.1.3+ds-1")
    assert session.take_output() == (
        b'{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, "major": 11}, '
        b'"package": "Debian 1:11.1.3+ds-1"}, "capabilities": ["oob"]}}\r\n'
    )
    assert session.take_output() == b""


def test_pretty():
    session = Session((11, 1, 3), "", pretty=True)
    session.take_output()
    session.receive(b'{"execute":"qmp_capabilities"}')
    assert session.next_request() is None
    assert session.take_output() == b'{\r\n    "return": {\r\n    }\r\n}\r\n'


def test_events_wait_for_the_negotiation():
    client = Client(prelude="raw")
    client.session.take_output()
    client.session.event({"event": "STOP"})
    assert client.session.take_output() == b""
    client.send(NEGOTIATE["neg"])
    client.session.event({"event": "STOP", "timestamp": {"microseconds": 2, "seconds": 1}})
    assert client.session.take_output() == (
        b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n'
    )


def test_capabilities_are_judged_before_the_phase(client):
    bad = b'{"execute":"qmp_capabilities","arguments":{"enable":[1]}}'
    assert client.send(bad) == error("Invalid parameter type for 'enable[0]', expected: string")
    again = "Capabilities negotiation is already complete, command ignored"
    assert client.send(NEGOTIATE["oob"]) == error(again, "CommandNotFound")


def test_capabilities_out_of_band():
    text = "The command qmp_capabilities does not support OOB"
    assert Client(prelude="oob").send(b'{"exec-oob":"qmp_capabilities"}') == error(text)


def test_clash_of_verbs():
    got = Client(prelude="oob").send(b'{"exec-oob":"a","execute":"b","id":1}')
    assert got == error("QMP input member 'execute' clashes with 'exec-oob'", id=1)


def test_first_bad_member_by_hash(client):
    got = client.send(b'{"foo":1,"bar":2,"execute":"query-name"}')
    assert got == error("QMP input member 'bar' is unexpected")


def in_flight(session, count, first=0):
    for number in range(first, first + count):
        session.receive(b'{"execute":"query-name","id":%d}' % number)


def test_one_in_flight_without_oob(client):
    session = client.session
    in_flight(session, 1)
    first = session.next_request()
    assert not session.wants_input
    in_flight(session, 1, first=1)
    session.receive(b'{"exec-oob":"x","id":2}')
    assert session.next_request() is None
    assert session.take_output() == b""
    session.reply(first, None)
    assert not session.wants_input
    session.reply(session.next_request(), None)
    assert session.next_request() is None
    assert session.wants_input
    late = error("QMP input member 'exec-oob' is unexpected", id=2)
    assert session.take_output() == done(id=0) + done(id=1) + late


def test_oob_overtakes_and_errors_wait():
    session = Client(prelude="oob").session
    in_flight(session, 1)
    blocked = session.next_request()
    in_flight(session, 1, first=1)
    session.receive(b'{"id":"bad"}{]{"exec-oob":1,"id":2}{"exec-oob":"migrate-pause","id":3}')
    urgent = session.next_request()
    assert (urgent.name, urgent.oob, urgent.echo) == ("migrate-pause", True, {"id": 3})
    session.error(urgent, QMPError("no"))
    assert session.next_request() is None
    not_string = error("QMP input member 'exec-oob' must be a string", id=2)
    assert session.take_output() == not_string + error("no", id=3)
    session.reply(blocked, None)
    session.reply(session.next_request(), None)
    assert session.next_request() is None
    lacks = error("QMP input lacks member 'execute'", id="bad")
    got = session.take_output()
    assert got.startswith(done(id=0) + done(id=1) + lacks)
    assert b"JSON parse error, expecting key" in got


def test_queue_of_eight():
    session = Client(prelude="oob").session
    in_flight(session, 1)
    blocked = session.next_request()
    in_flight(session, 7, first=1)
    assert session.next_request() is None
    assert session.wants_input
    in_flight(session, 1, first=8)
    session.receive(b'{"exec-oob":"migrate-pause","id":"oob"}')
    assert session.next_request() is None
    assert not session.wants_input
    session.reply(blocked, None)
    # The second leaves the queue: the one out of band can be read, and is run at once.
    assert session.next_request().echo == {"id": 1}
    assert session.next_request().oob
    assert session.wants_input


def test_descriptors_of_a_later_message_wait_their_turn(client):
    """Without oob nothing is read while a command runs, so its descriptor stays."""
    session = client.session
    first, second = null(), null()
    session.receive(b'{"execute":"getfd","arguments":{"fdname":"a"}}', [first])
    request = session.next_request()
    session.receive(b'{"execute":"getfd","arguments":{"fdname":"b"}}', [second])
    assert session.take_fd() is first
    session.reply(request, None)
    session.next_request()
    assert session.take_fd() is second
    close_all([first, second])


def test_newer_descriptors_close_older(client):
    first, second, third = null(), null(), null()
    client.send(b'{"execute":', [first])
    client.send(b'"query-name"}', [second, third])
    assert first.closed
    assert client.session.take_fd() is second
    assert third.closed
    assert client.session.take_fd() is None
    second.close()


def test_finish_drops_what_is_queued_and_closes_what_waits(client):
    session = client.session
    session.receive(b'{"execute":"quit"}{"execute":"query-name"}')
    quit_ = session.next_request()
    waiting, late = null(), null()
    session.receive(b'{"execute":"query-name"}', [waiting])
    session.finish()
    session.reply(quit_, None)
    session.receive(b'{"execute":"query-name"}', [late])
    assert session.next_request() is None
    assert session.take_output() == done()
    assert waiting.closed
    assert late.closed
    assert not session.wants_input


def test_another_monitors_command_holds_back_what_is_in_band():
    session = Client(prelude="oob").session
    session.receive(b'{"id":1}{"exec-oob":"x"}{"execute":"y"}')
    assert session.next_request(in_band=False).name == "x"
    assert session.next_request(in_band=False) is None
    assert session.take_output() == b""
    assert session.next_request().name == "y"
    assert session.take_output() == error("QMP input lacks member 'execute'", id=1)


def test_log():
    lines = []
    session = Session((11, 1, 3), "", log=lambda *line: lines.append(line))
    fd = null()
    session.receive(b'{"execute":', [fd])
    session.receive(b'"qmp_capabilities"}@')
    session.next_request()
    session.finish()
    assert [line[0] for line in lines] == ["out", "in", "in", "out", "out"]
    assert lines[1:4] == [
        ("in", {"execute": "qmp_capabilities"}, 1),
        ("in", {"syntax-error": "1:31: JSON parse error, stray '@'"}, 0),
        ("out", {"return": {}}, 0),
    ]
