"""A source that was in any run state: what a destination of ours makes of it, and a real QEMU."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import sys
import time

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi.emulator import Emulator, EmulatorGone

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
OURS = [sys.executable, "-m", "qemu_sim", "-sim"]
PROGRAMS = {
    "11.1": [*OURS, "profile=11.1"],
    "7.2": [*OURS, "profile=7.2"],
    "real": [QEMU, "-accel", "tcg"],
}
BARE = ("-nodefaults", "-display", "none", "-machine", "pc", "-m", "1")
HEAD = b"\x0bglobalstate" + struct.pack(">II", 0, 1)
TIMEOUT = 20  # seconds
# What `cont` leads to, or what it says.
STATES = {
    "io-error": "running",
    "watchdog": "running",
    "guest-panicked": "running",
    "internal-error": "Resetting the Virtual Machine is required",
    "paused": "running",
    "suspended": "suspended",
}


@pytest.fixture(params=PROGRAMS)
def program(request):
    if request.param == "real" and QEMU is None:
        pytest.skip("no qemu-system-x86_64 is installed")
    return [*PROGRAMS[request.param], *BARE]


@pytest.fixture
def load(program, tmp_path):
    """Load the machine's own stream with another run state; yields the machine then."""
    path = str(tmp_path / "stream")
    with Emulator(program) as source, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.socket")
        listener.listen()
        source.execute("migrate", uri=f"unix:{path}.socket")
        peer, _ = listener.accept()
        with peer, peer.makefile("rb") as file:
            stream = bytearray(file.read())
    at = stream.index(HEAD) + len(HEAD)

    def run(destination, state):
        text = state.encode() + b"\0"
        stream[at : at + 36] = struct.pack(">I", len(text)) + text.ljust(32, b"\0")
        with open(path, "wb") as file:
            file.write(stream)
        destination.execute("migrate-incoming", uri=f"exec:cat {path}")
        end = time.monotonic() + TIMEOUT
        while destination.execute("query-migrate").get("status") != "completed":
            assert time.monotonic() < end

    return run


@pytest.mark.parametrize("state", STATES)
def test_it_is_the_destinations_too(program, load, state):
    with Emulator([*program, "-incoming", "defer"]) as destination:
        load(destination, state)
        assert destination.execute("query-status")["status"] == state
        try:
            destination.execute("cont")
            after = destination.execute("query-status")["status"]
        except QMPError as error:
            after = str(error)
        assert after == STATES[state]


def test_one_that_is_none(program, load):
    with Emulator([*program, "-incoming", "defer"]) as destination:
        with pytest.raises(EmulatorGone) as gone:
            load(destination, "nonsense")
        printed = str(gone.value)
    assert "invalid parameter value: nonsense" in printed
    assert "error while loading state for instance 0x0 of device 'globalstate'" in printed
    assert "load of migration failed: Invalid argument" in printed
