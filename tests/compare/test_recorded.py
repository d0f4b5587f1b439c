"""qemu-sim answers as real QEMUs did, but for the differences that known.toml gives reasons for."""

import json
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 240  # seconds, on a machine that has much else to do


def compare(*arguments, environment):
    command = [sys.executable, HERE, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=LIMIT, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_same_as_recorded(environment):
    """Both QEMUs at once, each in a process of its own."""
    done = compare(environment=environment)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("% same)") == 2


@pytest.fixture
def recording(tmp_path):
    """Write a recording of one case that asks for the version."""

    def write(answer):
        steps = [{"op": "send", "data": '{"execute":"query-name"}', "expect": answer}]
        case = {"case": "made-up", "group": "made-up", "prelude": "neg", "steps": steps}
        path = tmp_path / "recording.jsonl"
        path.write_text(json.dumps(case) + "\n")
        return str(path)

    return write


@pytest.mark.parametrize(
    ("answer", "status"), [('{"return": {}}\r\n', 0), ('{"return":{}}\r\n', 1), ("", 1)]
)
def test_a_difference_is_told(recording, answer, status, environment):
    """Also one of a single byte, and an answer that should not come."""
    done = compare("--profile", "11.1", "--cases", recording(answer), environment=environment)
    assert done.returncode == status
    assert ("WRONG  made-up: step 0" in done.stdout) == bool(status)
