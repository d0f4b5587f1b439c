"""Every HMP command of the profile is read as QEMU reads it, and answers or says that it cannot."""

import inspect
import subprocess
import sys

import pytest

from qemu_sim.commands import listing
from qemu_sim.commands.hmp import table
from qemu_sim.commands.hmp.signatures import OLDER, PRECONFIG, SIGNATURES
from qemu_sim.qapi import profile as profiles

PROFILES = ("7.2", "11.1")
# What would need a guest, an emulated device, or a part of QEMU that is not there.
NOT_SIMULATED = {
    *("boot_set", "dump-guest-memory", "dumpdtb", "gdbserver", "gpa2hpa", "gpa2hva", "gva2gpa"),
    *("i", "log", "logfile", "mce", "mouse_set", "o", "pcie_aer_inject_error", "qemu-io"),
    *("stopcapture", "sync-profile", "trace-event", "wavcapture"),
    *("info mtree", "info ramblock", "info trace-events"),
}
ONLY = {"7.2": {"singlestep"}, "11.1": {"one-insn-per-tb"}}


def known(version):
    profile = profiles.load(version)
    return {entry.name for kind in ("help", "info") for entry in table.entries(profile, kind)}


@pytest.mark.parametrize("version", PROFILES)
def test_the_list_of_what_is_not_simulated_is_true(version):
    kinds = listing.kinds_of_hmp(profiles.load(version))
    assert set(kinds) == known(version)
    missing = {name for name, kind in kinds.items() if kind == listing.MISSING}
    assert missing == NOT_SIMULATED | ONLY[version]


@pytest.mark.parametrize("version", PROFILES)
def test_what_is_not_simulated_says_so(make_machine, version):
    machine = make_machine("-machine", "pc", "-sim", f"profile={version}")
    samples = {"l": "1", "i": "1", "M": "1", "o": "1", "b": "on", "/": "/x", "-": "", "O": "x"}
    for name in NOT_SIMULATED | ONLY[version]:
        kinds = [part.partition(":")[2] for part in SIGNATURES.get(name, "").split(",") if part]
        words = [samples.get(kind[0], "word") for kind in kinds if kind[-1] not in "?."]
        line = f"{name} {' '.join(words)}"
        printed = machine.execute("human-monitor-command", command_line=line)
        assert printed == f"Error: not simulated by qemu-sim: {name}\r\n", line


def test_nothing_stands_in_a_table_that_no_profile_has():
    everything = set().union(*map(known, PROFILES))
    assert set(table.registered()) <= everything
    assert {*SIGNATURES, *OLDER, *PRECONFIG} <= everything


@pytest.mark.parametrize("name", table.registered())
def test_a_function_takes_the_arguments_of_its_command(name):
    parameters = list(inspect.signature(table.registered()[name]).parameters.values())[1:]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    needed = {each.name for each in parameters if each.default is each.empty} - {
        each.name for each in parameters if each.kind is each.VAR_KEYWORD
    }
    for version in PROFILES:
        if name not in known(version):
            continue
        parts = [part for part in table.signature(profiles.load(version), name).split(",") if part]
        keys = {part.partition(":")[0].replace("-", "_"): part for part in parts}
        certain = {key for key, part in keys.items() if part[-1] not in "?." and ":-" not in part}
        assert needed <= certain
        assert takes_any or set(keys) <= {each.name for each in parameters}


def test_before_the_machine_is_made():
    lines = ["info status", " info  qtree", "help stop", "exit_preconfig", "help stop", "quit"]
    printed = subprocess.run(
        [sys.executable, "-m", "qemu_sim", "-machine", "pc", "--preconfig", "-monitor", "stdio"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout
    assert printed.replace("\r", "").split("(qemu) ")[1:6] == [
        "VM status: paused (prelaunch)\n",
        "Command ' info  qtree' not available until machine initialization has completed.\n",
        "unknown command: 'stop'\n",
        "",
        "stop|s  -- stop emulation\n",
    ]


def test_the_object_tree_is_that_of_this_machine(make_machine):
    machine = make_machine("-machine", "q35", "-device", "pcie-root-port,id=port,chassis=1")
    printed = machine.execute("human-monitor-command", command_line="info qom-tree")
    lines = printed.split("\r\n")
    assert lines[0] == "/machine (pc-q35-11.1-machine)"
    port = lines.index("    /port (pcie-root-port)")
    assert lines[port - 1] == "  /peripheral (container)"
    assert "  /unattached (container)" in lines
