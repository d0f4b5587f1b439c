"""A client adds monitors and removes them. Answers are those of QEMU 11.1.3."""

import json
import re
import socket
import time

import pytest

from qemu_sim.testing import QMPError

GREETING = {"QMP"}
TIMEOUT = 20  # seconds


@pytest.fixture
def machine(make_machine):
    return make_machine("-M", "none")


@pytest.fixture
def add_socket(machine, tmp_path):
    def add(name):
        path = str(tmp_path / name)
        data = {"addr": {"type": "unix", "data": {"path": path}}, "server": True, "wait": False}
        machine.execute("chardev-add", id=name, backend={"type": "socket", "data": data})
        return path

    return add


class Client:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(path)
        self.lines = self.sock.makefile("rb")

    def read(self):
        return json.loads(self.lines.readline())

    def ask(self, command, **arguments):
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        return self.read()

    def is_silent(self):
        self.sock.setblocking(False)
        try:
            self.sock.recv(1)
        except BlockingIOError:
            return True
        finally:
            self.sock.settimeout(TIMEOUT)
        return False

    def close(self):
        self.lines.close()
        self.sock.close()


def add_monitor(machine, id, chardev, kind="monitor-qmp", **options):
    machine.execute("object-add", qom_type=kind, id=id, chardev=chardev, **options)


def monitors(machine):
    objects = machine.execute("qom-list", path="/objects")
    return {each["name"] for each in objects if each["type"].startswith("child<monitor")}


def test_whoever_is_connected_is_greeted_and_served(machine, add_socket):
    client = Client(add_socket("c0"))
    add_monitor(machine, "m0", "c0")
    assert client.read().keys() == GREETING
    assert client.ask("qmp_capabilities") == {"return": {}}
    machine.execute("stop")
    assert client.read()["event"] == "STOP"
    assert client.ask("query-status")["return"]["status"] == "paused"
    client.close()


def test_one_client_comes_after_the_other(machine, add_socket):
    path = add_socket("c0")
    add_monitor(machine, "m0", "c0")
    first, second = Client(path), Client(path)
    assert first.read().keys() == GREETING
    first.close()
    assert second.read().keys() == GREETING
    second.close()


def test_a_removed_monitor_leaves_its_client_connected_to_the_chardev(machine, add_socket):
    client = Client(add_socket("c0"))
    add_monitor(machine, "m0", "c0")
    client.read()
    machine.execute("object-del", id="m0")
    assert "m0" not in monitors(machine)
    client.sock.sendall(b'{"execute": "qmp_capabilities"}')
    machine.execute("query-status")
    assert client.is_silent()
    add_monitor(machine, "m1", "c0")
    assert client.read().keys() == GREETING
    assert client.read() == {"return": {}}
    client.close()


def test_close_action_delete_takes_the_chardev_too(machine, add_socket):
    client = Client(add_socket("c0"))
    add_monitor(machine, "m0", "c0", close_action="delete")
    client.read()
    client.close()
    deadline = time.monotonic() + TIMEOUT
    while "m0" in monitors(machine):
        assert time.monotonic() < deadline
    assert "c0" not in {each["label"] for each in machine.execute("query-chardev")}


def test_pretty_can_be_changed(machine, add_socket):
    client = Client(add_socket("c0"))
    add_monitor(machine, "m0", "c0")
    client.read()
    machine.execute("qom-set", path="/objects/m0", property="pretty", value=True)
    client.sock.sendall(b'{"execute": "qmp_capabilities"}')
    assert client.lines.readline() == b"{\r\n"
    (values,) = machine.execute("qom-list-get", paths=["/objects/m0"])
    assert {"name": "pretty", "type": "bool", "value": True} in values["properties"]
    client.close()


def test_yank_drops_the_client_and_the_next_may_come(machine, add_socket):
    path = add_socket("c0")
    client = Client(path)
    add_monitor(machine, "m0", "c0")
    client.read()
    machine.execute("yank", instances=[{"type": "chardev", "id": "c0"}])
    assert client.lines.readline() == b""
    client.close()
    again = Client(path)
    assert again.read().keys() == GREETING
    again.close()


def test_a_person_may_be_given_one(machine, add_socket):
    client = Client(add_socket("c0"))
    add_monitor(machine, "h0", "c0", "monitor-hmp")
    assert client.lines.readline().startswith(b"QEMU 11.1")
    with pytest.raises(QMPError, match="Deleting HMP monitors is not supported"):
        machine.execute("object-del", id="h0")
    client.close()


@pytest.mark.parametrize(
    ("id", "chardev", "words"),
    [
        ("m1", "nope", 'chardev "nope" not found'),
        ("m0", "nope", "attempt to add duplicate property 'm0' to object (type 'container')"),
        ("m1", "c0", "chardev 'c0' is already in use"),
        ("m1", "ring", "a monitor on chardev 'ringbuf' is not simulated by qemu-sim"),
    ],
)
def test_what_cannot_be_added(machine, add_socket, id, chardev, words):
    add_socket("c0")
    add_monitor(machine, "m0", "c0")
    machine.execute("chardev-add", id="ring", backend={"type": "ringbuf", "data": {}})
    with pytest.raises(QMPError, match=f"^{re.escape(words)}$"):
        add_monitor(machine, id, chardev)
    machine.execute("chardev-remove", id="ring")


def test_what_cannot_be_removed(machine, add_socket):
    client = Client(add_socket("c0"))
    add_monitor(machine, "m0", "c0")
    client.read()
    client.ask("qmp_capabilities")
    answer = client.ask("object-del", id="m0")
    assert answer["error"]["desc"] == "Cannot delete the current QMP monitor"
    with pytest.raises(QMPError, match="Chardev 'c0' is busy"):
        machine.execute("chardev-remove", id="c0")
    client.close()


def test_a_monitor_that_calls_is_not_needed_and_calls_again(make_machine, tmp_path):
    """As the event socket of a manager that is started later, or again."""
    path = str(tmp_path / "events")
    machine = make_machine(
        *("-M", "none", "-chardev", f"socket,id=ev,path={path},reconnect-ms=20"),
        *("-mon", "chardev=ev,mode=control"),
    )
    assert machine.execute("query-status")["running"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(TIMEOUT)
        listener.bind(path)
        listener.listen(1)
        for _ in range(2):
            sock, _ = listener.accept()
            with sock, sock.makefile("rb") as lines:
                sock.settimeout(TIMEOUT)
                assert json.loads(lines.readline()).keys() == GREETING
                sock.sendall(b'{"execute": "qmp_capabilities"}')
                assert json.loads(lines.readline()) == {"return": {}}
