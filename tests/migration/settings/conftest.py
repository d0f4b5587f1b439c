"""What capabilities and parameters are measured against: records of QEMU, and a live one.

A record (tests/data/migration-settings-VERSION.jsonl) begins with what a fresh QEMU
answered, then has one line [command, arguments, error or null] a request, in order, and
under `finally` in its first line what the queries answered after the last one.
"""

import json
import os
import shutil

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.migration.capabilities import Capabilities
from qemu_sim.migration.parameters import Parameters
from qemu_sim.qapi.emulator import Emulator

DATA = os.path.join(os.path.dirname(__file__), "..", "..", "data")
QEMU = "qemu-system-x86_64"
ARGV = ("-machine", "q35,accel=tcg", "-m", "64", "-nodefaults", "-display", "none", "-S")


class FakeProfile:
    def __init__(self, version, sections):
        self.version = tuple(version)
        self.sections = sections

    def section(self, name):
        return json.loads(json.dumps(self.sections[name]))


class Recorded:
    def __init__(self, version):
        with open(os.path.join(DATA, f"migration-settings-{version}.jsonl")) as file:
            head, *self.steps = map(json.loads, file)
        self.finally_ = head.pop("finally")
        self.profile = FakeProfile(head.pop("version"), head)


class LiveQemu:
    def __init__(self, emulator):
        self.execute = emulator.execute
        self._emulator = emulator
        version = emulator.execute("query-version")["qemu"]
        queries = ("query-migrate-capabilities", "query-migrate-parameters")
        self.profile = FakeProfile(
            (version["major"], version["minor"], version["micro"]),
            {name: emulator.execute(name) for name in queries},
        )

    def answer(self, command, arguments):
        return self.ours(self._emulator.execute_with, command, arguments)

    @staticmethod
    def ours(call, *given):
        try:
            call(*given)
        except QMPError as error:
            return str(error)
        return None


@pytest.fixture
def recorded_settings():
    return Recorded


@pytest.fixture
def replay():
    return _replay


def _replay(recorded):
    capabilities, parameters = Capabilities(recorded.profile), Parameters(recorded.profile)
    for command, arguments, expected in recorded.steps:
        if command == "migrate-set-capabilities":
            answer = LiveQemu.ours(capabilities.set, arguments["capabilities"], parameters)
        else:
            answer = LiveQemu.ours(parameters.set, arguments, capabilities.names())
        assert answer == expected, (command, arguments)
    return capabilities, parameters


@pytest.fixture
def live_qemu():
    program = shutil.which(QEMU)
    if program is None:
        pytest.skip(f"there is no {QEMU} to compare with")
    with Emulator([program, *ARGV]) as emulator:
        yield LiveQemu(emulator)
