"""chardev-add and what follows, ringbuf-read and -write, beside a real QEMU where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

OURS = [sys.executable, "-m", "qemu_sim", "-sim"]
QEMU = shutil.which("qemu-system-x86_64")
BARE = ["-machine", "none", "-nodefaults", "-display", "none"]
TALK = [
    ("add", "rb", "ringbuf", {"size": 8}),
    ("add", "bad", "ringbuf", {"size": 9}),
    ("ringbuf-write", {"device": "rb", "data": "0123456789"}),
    ("ringbuf-read", {"device": "rb", "size": 3}),
    ("ringbuf-read", {"device": "rb", "size": 9, "format": "base64"}),
    ("ringbuf-write", {"device": "rb", "data": "aGk=YQ", "format": "base64"}),
    ("ringbuf-read", {"device": "rb", "size": 9}),
    ("ringbuf-write", {"device": "rb", "data": "/2H/AGE=", "format": "base64"}),
    ("ringbuf-read", {"device": "rb", "size": 9}),
    ("ringbuf-write", {"device": "rb", "data": "!!", "format": "base64"}),
    ("ringbuf-read", {"device": "rb", "size": 0}),
    ("ringbuf-read", {"device": "none", "size": 1}),
    ("add", "n", "null", {}),
    ("ringbuf-write", {"device": "n", "data": "x"}),
    ("add", "m", "mux", {"chardev": "rb"}),
    ("add", "m2", "mux", {"chardev": "rb"}),
    ("add", "m3", "mux", {"chardev": "none"}),
    ("chardev-remove", {"id": "rb"}),
    ("chardev-change", {"id": "rb", "backend": {"type": "null", "data": {}}}),
    ("chardev-change", {"id": "m", "backend": {"type": "null", "data": {}}}),
    ("chardev-change", {"id": "none", "backend": {"type": "null", "data": {}}}),
    ("chardev-change", {"id": "n", "backend": {"type": "memory", "data": {}}}),
    ("query-chardev", {}),
    ("chardev-change", {"id": "n", "backend": {"type": "file", "data": {"out": "/none/x"}}}),
    ("query-chardev", {}),
    ("add", "n", "null", {"logfile": "/none/x"}),
    ("add", "n", "pipe", {"device": "/none/x"}),
    ("add", "n", "serial", {"device": "/none/x"}),
    ("add", "n", "hub", {"chardevs": ["rb"]}),
    ("add", "n", "socket", {"addr": {"type": "fd", "data": {"str": "x"}}}),
    ("add", "n", "udp", {"remote": {"type": "unix", "data": {"path": "/x"}}}),
    ("add", "n", "console", {}),
]


def request(line):
    name, *rest = line
    if name == "add":
        id, kind, data = rest
        name, rest = "chardev-add", [{"id": id, "backend": {"type": kind, "data": data}}]
    return {"execute": name, "arguments": rest[0]}


def answers(command):
    """Return the answers to the talk."""
    requests = [{"execute": "qmp_capabilities"}, *map(request, TALK), {"execute": "quit"}]
    said = subprocess.run(
        [*command, *BARE, "-qmp", "stdio"],
        input="".join(map(json.dumps, requests)),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    lines = [json.loads(line) for line in said.splitlines()]
    return [line for line in lines if "return" in line or "error" in line]


@pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed")
def test_both_answer_the_same():
    version = subprocess.check_output([QEMU, "-version"], text=True)
    profile = "7.2" if "version 7.2" in version else "11.1"
    ours, theirs = answers([*OURS, f"profile={profile}"]), answers([QEMU])
    assert dict(zip(map(str, TALK), ours[1:], strict=False)) == dict(
        zip(map(str, TALK), theirs[1:], strict=False)
    )
    assert len(ours) == len(theirs) == len(TALK) + 2


def test_a_terminal_is_named(make_machine):
    machine = make_machine("-machine", "none")
    added = machine.execute("chardev-add", id="p", backend={"type": "pty", "data": {}})
    shown = {each["label"]: each["filename"] for each in machine.execute("query-chardev")}
    assert shown["p"] == f"pty:{added['pty']}"
    assert os.path.exists(added["pty"])
    machine.execute("chardev-remove", id="p")


def test_a_port_has_its_chardev(make_machine, tmp_path):
    argv = ("-machine", "q35", "-serial", f"file:{tmp_path / 'out'}", "-parallel", "null")
    machine = make_machine(*argv, "-serial", "none", "-serial", "vc", *(["-serial", "null"] * 4))
    shown = {each["label"]: each["frontend-open"] for each in machine.execute("query-chardev")}
    # ISA has four serial ports.
    used = ("serial0", "serial2", "serial3", "serial4", "parallel0")
    assert {label for label in shown if shown[label]} >= set(used)
    assert shown["serial5"] is False
