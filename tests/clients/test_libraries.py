"""The same script through each client library, to qemu-sim and to a real QEMU."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
LIMIT = 60  # seconds
SCRIPT = [
    ("query-name", None),
    ("query-status", None),
    ("stop", None),
    ("query-status", None),
    ("no-such-command", None),
    ("query-name", {"surprise": 1}),
    ("object-add", {"qom-type": "memory-backend-ram", "id": "m0", "size": 1 << 20}),
    ("qom-list", {"path": "/objects"}),
    ("object-add", {"qom-type": "memory-backend-ram", "id": "m0", "size": 1 << 20}),
    ("object-del", {"id": "m0"}),
    ("device_del", {"id": "nope"}),
    ("query-migrate-capabilities", None),
    ("query-commands", None),
    ("query-qmp-schema", None),
    ("cont", None),
    ("query-status", None),
]
EVENTS = ["STOP", "RESUME"]
ERRORS = [
    "The command no-such-command has not been found",
    "Parameter 'surprise' is unexpected",
    "attempt to add duplicate property 'm0' to object (type 'container')",
    "Device 'nope' not found",
]


def run(command, script, emulator, environment):
    done = subprocess.run(
        [*command, emulator.path, json.dumps(script)],
        stdout=subprocess.PIPE,
        env=environment,
        timeout=LIMIT,
        check=True,
    )
    return json.loads(done.stdout)


def check(command, ours, real, environment, script=SCRIPT):
    answer = run(command, script, ours, environment)
    assert answer["events"] == EVENTS
    answers = answer["answers"]
    assert [reply["error"] for reply in answers if "error" in reply] == ERRORS
    assert answers[0] == {"return": {"name": "clients"}}
    assert [answers[at]["return"]["running"] for at in (1, 3, -1)] == [True, False, True]
    if real is not None:
        assert run(command, script, real, environment) == answer


@pytest.mark.parametrize(
    ("program", "package"),
    [
        ("qemu_qmp_async.py", "qemu.qmp"),
        ("synchronous.py", "qemu.qmp.legacy"),
        ("synchronous.py", "qmp"),
        ("avocado_vt.py", "virttest"),
    ],
)
def test_python(program, package, ours, real, environment):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install '.[clients]'")
    command = [sys.executable, os.path.join(PROGRAMS, program)]
    whose = [package] if program == "synchronous.py" else []
    check([*command, *whose], ours, real, environment)


def test_node(ours, real, node):
    check(["node", os.path.join(PROGRAMS, "qemu_qmp.js")], ours, real, node)


def test_go(go_program, ours, real, environment):
    short = [step for step in SCRIPT if step[0] != "query-qmp-schema"]  # it ends at 64 KiB
    check([go_program("go_qemu.go")], ours, real, environment, short)
