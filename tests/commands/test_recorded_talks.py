"""Whole conversations, request by request, as QEMU had them: answers, events, their order.

A line of tests/data/talks-VERSION.jsonl is one machine: its `argv` and its `talk`, pairs of
a request and of every message that came of it. What no two runs share is left out.
"""

import json
import pathlib
import socket

import pytest

DATA = pathlib.Path(__file__).parents[1] / "data"
PROFILES = ("7.2", "11.1")
VARIES = ("timestamp", "thread-id", "start-time")
TIMEOUT = 10


def talks():
    for profile in PROFILES:
        for line in (DATA / f"talks-{profile}.jsonl").read_text().splitlines():
            talk = json.loads(line)
            yield pytest.param(profile, talk, id=f"{profile} {talk['name']}")


class Wire:
    """One QMP client that keeps every message in order."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT)
        self._socket.connect(path)
        self._lines = self._socket.makefile("rwb")
        assert "QMP" in self.read()
        self.ask({"execute": "qmp_capabilities"}, 1)

    def read(self):
        line = self._lines.readline()
        return json.loads(line) if line else "EOF"

    def ask(self, request, count):
        """Return `count` messages: the answer and the events around it."""
        self._lines.write(json.dumps(request).encode() + b"\n")
        self._lines.flush()
        return [stable(self.read()) for _ in range(count)]

    def close(self):
        self._lines.close()
        self._socket.close()


def stable(value):
    """The value without what differs from run to run."""
    if isinstance(value, dict):
        return {key: stable(each) for key, each in value.items() if key not in VARIES}
    return [stable(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("profile", "talk"), list(talks()))
def test_as_qemu(make_machine, profile, talk):
    machine = make_machine("-sim", f"profile={profile},extensions=off", *talk["argv"])
    wire = Wire(machine.qmp_path)
    try:
        for request, messages in talk["talk"]:
            assert wire.ask(request, len(messages)) == messages, request
    finally:
        wire.close()
