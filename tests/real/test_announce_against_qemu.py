"""announce-self of a stopped machine, ours and a real one: it speaks once the guest runs."""

from __future__ import annotations

import os
import shutil
import socket
import sys

import pytest

from qemu_sim.qapi.emulator import Emulator

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
OURS = [sys.executable, "-m", "qemu_sim"]
BARE = ("-nodefaults", "-display", "none", "-machine", "pc", "-m", "16", "-S")
TWICE = {"initial": 50, "max": 50, "rounds": 2, "step": 0}  # ms
LONG = 0.5  # seconds


@pytest.fixture
def network():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(LONG)
        yield sock


@pytest.fixture(params=["ours", "real"])
def emulator(request, network):
    if request.param == "real" and QEMU is None:
        pytest.skip("no qemu-system-x86_64 is installed")
    program = [*OURS] if request.param == "ours" else [QEMU, "-accel", "tcg"]
    there = f"udp=127.0.0.1:{network.getsockname()[1]},localaddr=127.0.0.1:0"
    nic = ["-netdev", f"socket,id=net0,{there}", "-device", "virtio-net-pci,netdev=net0"]
    with Emulator([*program, *BARE, *nic]) as running:
        yield running


def heard(network):
    """Count what is said until nothing is said any more."""
    count = 0
    try:
        while network.recv(2048):
            count += 1
    except TimeoutError:
        return count


def test_a_stopped_machine_says_it_once_it_runs(emulator, network):
    emulator.execute_with("announce-self", TWICE)
    assert heard(network) == 0
    emulator.execute("cont")
    assert heard(network) == 2
    emulator.execute_with("announce-self", TWICE)
    assert heard(network) == 2
    emulator.execute("stop")
    emulator.execute_with("announce-self", TWICE)
    assert heard(network) == 0
