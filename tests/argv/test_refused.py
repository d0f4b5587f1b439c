"""Command lines that QEMU refuses: our words against those recorded from QEMU 11.1.3.

refused.json holds, for each, what 11.1.3 wrote, and what 7.2.22 did ("=" for the same, null
where it started); PROG stands for the program's name.
"""

import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from qemu_sim import cli

with open(os.path.join(os.path.dirname(__file__), "refused.json"), encoding="utf-8") as file:
    REFUSED = json.load(file)

QEMU = shutil.which("qemu-system-x86_64")


def _name(case):
    return " ".join(case["argv"])


def _version_of_qemu():
    if QEMU is None:
        return None
    text = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"version (\d+\.\d+)", text)[1]


@pytest.fixture
def signals():
    """The program blocks signals for good; the processes of later tests must not inherit that."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.mark.parametrize("case", REFUSED, ids=_name)
@pytest.mark.usefixtures("signals")
def test_is_refused_in_the_words_of_qemu(case, capsys):
    assert cli.main(["/some/where/PROG", *case["argv"]]) == 1

    assert capsys.readouterr().err == case["11.1"]


def test_the_words_are_those_of_the_installed_qemu():
    version = _version_of_qemu()
    if version not in ("7.2", "11.1"):
        pytest.skip(f"no qemu-system-x86_64 7.2 or 11.1 is installed (found: {version})")
    wrong = []
    # A good sample: all of them would take seconds.
    for case in REFUSED[::4]:
        recorded = case["11.1"] if case[version] == "=" else case[version]
        if recorded is None:
            continue
        found = _ask_qemu(case["argv"])
        if found != recorded:
            wrong.append((case["argv"], found, recorded))

    assert wrong == []


def _ask_qemu(argv):
    defaults = [] if {"-M", "-smp"} & set(argv) else ["-M", "none"]
    if not {"-display", "-nographic"} & set(argv):
        defaults += ["-display", "none"]
    run = subprocess.run(
        [QEMU, *defaults, *argv],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert run.returncode == 1, argv
    return run.stderr.replace(f"{os.path.basename(QEMU)}: ", "PROG: ")
