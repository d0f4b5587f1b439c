"""Lines that a person may type, and what a machine of type pc answers.

lines.json has what QEMU 11.1.3 answered, and 7.2.22 where that is something else; null is what is
not the same here. They are typed in this order, and some of them change what later ones find.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from qemu_sim.qapi.emulator import Emulator

with open(os.path.join(os.path.dirname(__file__), "lines.json"), encoding="utf-8") as file:
    LINES = json.load(file)
ACCELERATORS = {"11.1": "qtest", "7.2": "tcg"}
QEMU = shutil.which("qemu-system-x86_64")


def answers(program, version):
    """Return what the lines print, by their number."""
    machine = ["-machine", "pc", "-S", "-accel", ACCELERATORS[version]]
    with Emulator([*program, "-nodefaults", "-display", "none", *machine]) as running:
        return {
            number: running.execute_with("human-monitor-command", {"command-line": each["line"]})
            for number, each in enumerate(LINES)
        }


def differences(program, version):
    found = answers(program, version)
    return [
        (each["line"], found[number], expected)
        for number, each in enumerate(LINES)
        if (expected := each.get(version, each["11.1"])) not in (None, found[number])
    ]


@pytest.mark.parametrize("version", ["11.1", "7.2"])
def test_answers_are_those_of_qemu(version):
    ours = [sys.executable, "-m", "qemu_sim", "-sim", f"profile={version},extensions=off"]
    assert differences(ours, version) == []


@pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 to compare with")
def test_the_record_is_true_of_the_installed_qemu():
    said = subprocess.run([QEMU, "-version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"version (\d+\.\d+)", said)[1]
    if version not in ACCELERATORS:
        pytest.skip(f"no recorded answers of QEMU {version}")
    assert differences([QEMU], version) == []
