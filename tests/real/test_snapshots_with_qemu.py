"""Snapshots of a real QEMU are loaded by a qemu-sim, and the other way round.

Its RAM has what QEMU's device `loader` puts there; nobody's CPU runs.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time

import pytest

from qemu_sim.qapi.emulator import Emulator

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
pytestmark = [
    pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed"),
    pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed"),
]

PROFILES = ("7.2", "11.1")
BARE = ("-nodefaults", "-display", "none", "-accel", "tcg", "-machine", "q35", "-m", "2")
DEVICES = ("-netdev", "hubport,id=net0,hubid=0", "-device", "virtio-net-pci,id=nic0,netdev=net0")
TIMEOUT = 20  # seconds
MARK = 0x123000
SIZE = 64 << 10


@pytest.fixture
def qemu_sim_mode():
    return "daemon"


@pytest.fixture(params=["cluster_size=64k", "cluster_size=4k,refcount_bits=8", "compat=0.10"])
def image(request, tmp_path):
    """The path of an image, which both use in turn."""
    path = tmp_path / "image"
    options = ["-o", request.param]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, path, "1M"], check=True)
    return path


def node(path):
    return "-blockdev", f"driver=qcow2,node-name=a,file.driver=file,file.filename={path}"


def hmp(machine, line):
    text = machine.execute_with("human-monitor-command", {"command-line": line})
    assert text == ""


@pytest.fixture
def real():
    made = []

    def start(*arguments):
        made.append(Emulator([QEMU, *BARE, "-S", *arguments]))
        version = made[-1].greeting["version"]["qemu"]
        made[-1].profile = "{major}.{minor}".format(**version)
        if made[-1].profile not in PROFILES:
            pytest.skip(f"no profile of QEMU {made[-1].profile}")
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def ours(make_machine):
    def start(profile, *arguments):
        sim = ("-sim", f"profile={profile}")
        return make_machine(*sim, "-nodefaults", "-machine", "q35", "-m", "2", *arguments)

    return start


def end(machine):
    machine.execute("quit")
    assert machine.wait() == 0


def memory(execute, path):
    execute("pmemsave", val=MARK, size=4, filename=str(path))
    return path.read_bytes()


def disk(image):
    """The first byte of the disk as it is now, if the first clusters are full of it."""
    raw = image.with_suffix(".raw")
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    (byte,) = set(raw.read_bytes()[:SIZE])
    return byte


def check(image):
    """Nothing is wrong; a QEMU that was killed may have lost clusters."""
    told = subprocess.run(
        ["qemu-img", "check", "--output=json", image], check=False, capture_output=True
    )
    found = json.loads(told.stdout)
    assert (found["check-errors"], found.get("corruptions", 0)) == (0, 0)


@pytest.mark.parametrize("devices", [(), DEVICES], ids=["bare", "nic"])
def test_theirs(real, ours, image, devices, tmp_path):
    mark = ("-device", f"loader,addr={MARK:#x},data=0x4b4f,data-len=4")
    qemu = real(*node(image), *devices, *mark)
    # Memory is loaded in a reset, and a CPU that does not run changes nothing.
    assert memory(qemu.execute, tmp_path / "there") == b"OK\0\0"
    for tag, byte in (("one", 1), ("two", 2)):
        fill(qemu.execute_with, byte, tmp_path)
        hmp(qemu, f"savevm {tag}")
    fill(qemu.execute_with, 3, tmp_path)
    line = {"command-line": "info snapshots"}
    told = qemu.execute_with("human-monitor-command", line)
    qemu.close()

    machine = ours(qemu.profile, *node(image), *devices)
    assert machine.execute("human-monitor-command", line) == told
    assert memory(machine.execute, tmp_path / "here") == bytes(4)
    for tag in ("two", "one"):
        assert machine.execute("human-monitor-command", {"command-line": f"loadvm {tag}"}) == ""
        assert machine.execute("query-status")["running"]
        assert memory(machine.execute, tmp_path / "here") == b"OK\0\0"
    end(machine)
    assert disk(image) == 1
    check(image)

    again = ours(qemu.profile, *node(image), *devices, "-loadvm", "two")
    assert memory(again.execute, tmp_path / "here") == b"OK\0\0"
    assert again.execute("human-monitor-command", {"command-line": "delvm one"}) == ""
    end(again)
    assert disk(image) == 2
    check(image)


def test_ours(real, ours, image, tmp_path):
    first = real()
    first.close()
    qtest = ("-qtest", f"unix:{tmp_path}/qtest,server=on,wait=off")
    machine = ours(first.profile, *qtest, *node(image))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(tmp_path / "qtest"))
        for tag, byte in (("one", 1), ("two", 2)):
            sock.sendall(f"memset {MARK:#x} 4 {byte}\n".encode())
            assert sock.recv(100) == b"OK\n"
            fill(machine.execute, byte, tmp_path)
            line = {"command-line": f"savevm {tag}"}
            assert machine.execute("human-monitor-command", line) == ""
        fill(machine.execute, 3, tmp_path)
    end(machine)
    check(image)
    for tag, byte in (("two", 2), ("one", 1)):
        qemu = real(*node(image), "-loadvm", tag)
        assert memory(qemu.execute, tmp_path / "there") == bytes([byte] * 4)
        hmp(qemu, f"savevm theirs-{tag}")
        qemu.close()
        assert disk(image) == byte
        check(image)


def fill(execute, byte, tmp_path):
    """Have a job write to the image."""
    (tmp_path / "raw").write_bytes(bytes([byte] * SIZE).ljust(1 << 20, b"\0"))
    file = {"driver": "file", "filename": str(tmp_path / "raw")}
    execute("blockdev-add", {"driver": "raw", "node-name": "raw", "file": file})
    execute("blockdev-backup", {"job-id": "j", "device": "raw", "target": "a", "sync": "full"})
    end = time.monotonic() + TIMEOUT
    while execute("query-jobs", {}):
        assert time.monotonic() < end
    execute("blockdev-del", {"node-name": "raw"})
