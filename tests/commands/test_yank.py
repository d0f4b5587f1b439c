"""Yank cuts a connection, that of a monitor included."""

import json
import socket

import pytest

from qemu_sim.testing.client import QMPError


def greeted(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(path)
    assert "QMP" in json.loads(sock.recv(4096))
    return sock


def test_a_monitors_client_is_dropped_and_the_next_may_come(make_machine, tmp_path):
    path = f"{tmp_path}/second"
    machine = make_machine(
        "-chardev",
        f"socket,id=second,path={path},server=on,wait=off",
        "-mon",
        "second,mode=control",
    )
    assert {"type": "chardev", "id": "second"} in machine.execute("query-yank")
    with greeted(path) as sock:
        machine.execute_oob("yank", instances=[{"type": "chardev", "id": "second"}])
        assert sock.recv(1) == b""
    greeted(path).close()


def test_a_chardev_nobody_uses(make_machine, tmp_path):
    path = f"{tmp_path}/free"
    machine = make_machine("-chardev", f"socket,id=free,path={path},server=on,wait=off")
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(path)
    while "disconnected" in filename(machine):
        pass
    machine.execute("yank", instances=[{"type": "chardev", "id": "free"}])
    assert sock.recv(1) == b""
    sock.close()
    assert "disconnected" in filename(machine)


def test_all_or_none(make_machine):
    machine = make_machine()
    instances = machine.execute("query-yank")
    with pytest.raises(QMPError, match="Instance not found"):
        machine.execute("yank", instances=[*instances, {"type": "chardev", "id": "nope"}])
    assert machine.execute("query-status")


def filename(machine):
    return next(
        each["filename"] for each in machine.execute("query-chardev") if each["label"] == "free"
    )
