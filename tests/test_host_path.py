"""A file name with U+0000 is that of QEMU: every command opens the same bytes."""

import os

import pytest

from qemu_sim.host_path import host_path
from qemu_sim.testing.client import QMPError

# GLib takes the two bytes for no text.
UNREADABLE = (
    "Unable to read /nope\0: Failed to open file “/nope\ufffd\ufffd”: No such file or directory"
)


@pytest.mark.parametrize(
    ("name", "path"),
    [("/a", b"/a"), ("é", b"\xc3\xa9"), ("a\0b", b"a\xc0\x80b"), ("\udcff", b"\xff")],
)
def test_bytes(name, path):
    assert host_path(name) == path


def listed(directory):
    return os.listdir(os.fsencode(directory))


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("pmemsave", {"val": 0, "size": 1, "filename": "{}"}),
        ("chardev-add", {"id": "c", "backend": {"type": "file", "data": {"out": "{}"}}}),
        ("migrate", {"uri": "file:{}"}),
        (
            "chardev-add",
            {
                "id": "s",
                "backend": {
                    "type": "socket",
                    "data": {"addr": {"type": "unix", "data": {"path": "{}"}}, "wait": False},
                },
            },
        ),
        (
            "object-add",
            {"qom-type": "memory-backend-file", "id": "m", "size": 4096, "mem-path": "{}"},
        ),
        (
            "blockdev-create",
            {"job-id": "j", "options": {"driver": "file", "filename": "{}", "size": 512}},
        ),
    ],
)
def test_it_is_made(make_machine, tmp_path, command, arguments):
    made = tmp_path / "made"
    made.mkdir()

    def filled(value):
        if isinstance(value, dict):
            return {key: filled(each) for key, each in value.items()}
        return value.replace("{}", f"{made}/a\0b") if isinstance(value, str) else value

    machine = make_machine("-M", "q35", "-m", "64")
    machine.execute(command, **filled(arguments))
    if command == "blockdev-create":
        machine.wait_event("JOB_STATUS_CHANGE", status="concluded", id="j")
    assert listed(made) == [b"a\xc0\x80b"]


@pytest.mark.parametrize(
    ("command", "arguments", "text"),
    [
        (
            "blockdev-add",
            {"driver": "file", "node-name": "f", "filename": "/nope\0"},
            "Could not open '/nope\0': No such file or directory",
        ),
        (
            "object-add",
            {"qom-type": "secret", "id": "s", "file": "/nope\0"},
            UNREADABLE,
        ),
        (
            "object-add",
            {"qom-type": "rng-random", "id": "r", "filename": "/nope\0"},
            "Could not open '/nope\0': No such file or directory",
        ),
    ],
)
def test_it_is_not_there(make_machine, command, arguments, text):
    with pytest.raises(QMPError) as error:
        make_machine("-M", "none").execute(command, **arguments)
    assert error.value.desc == text
