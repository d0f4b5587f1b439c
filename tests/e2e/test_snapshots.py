"""A machine saves itself in its image, and another process goes on from there."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess

import pytest

from qemu_sim.testing import StartFailed

MIB = 1 << 20
DISK0 = {"device": "disk0", "enable": True, "queue-depth": 8, "write": True}


@pytest.fixture
def image(tmp_path):
    """The path of an empty image."""
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is not installed")
    path = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
    return path


@pytest.fixture
def argv(image):
    """A machine whose one node is the image."""
    file = f"file.driver=file,file.filename={image}"
    return ["-machine", "q35", "-m", "16", "-blockdev", f"driver=qcow2,node-name=a,{file}"]


def check(image):
    found = subprocess.run(
        ["qemu-img", "check", "-U", "--output=json", image], check=True, capture_output=True
    )
    assert json.loads(found.stdout).get("leaks", 0) == 0


def hmp(machine, line):
    return machine.execute("human-monitor-command", {"command-line": line})


def end(machine):
    machine.execute("quit")
    assert machine.wait() == 0


class Writer:
    """Writes to a machine's RAM, and reads it, as a test program does."""

    def __init__(self, path, directory):
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.connect(path)
        self._directory = directory

    def fill(self, at, byte):
        self._sock.sendall(f"memset {at:#x} 0x1000 {byte:#x}\n".encode())
        assert self._sock.recv(100) == b"OK\n"

    def close(self):
        self._sock.close()


@pytest.fixture
def writer(tmp_path):
    made = []

    def make():
        made.append(Writer(str(tmp_path / "qtest"), tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


def memory(machine, tmp_path, at):
    """The page there, as one byte and how often it is there."""
    path = tmp_path / "memory"
    machine.execute("pmemsave", val=at, size=4096, filename=str(path))
    data = path.read_bytes()
    return data[0], data.count(data[0])


def test_ram_goes_back_here_and_elsewhere(make_machine, argv, image, writer, tmp_path):
    first = make_machine(*argv, "-qtest", f"unix:{tmp_path}/qtest,server=on,wait=off")
    program = writer()
    for at in (MIB, 3 * MIB):
        program.fill(at, at >> 20)
    assert hmp(first, "savevm one") == ""
    program.fill(MIB, 7)
    program.fill(2 * MIB, 7)
    assert hmp(first, "savevm two") == ""
    assert hmp(first, "loadvm one") == ""
    assert [memory(first, tmp_path, at * MIB)[0] for at in (1, 2, 3)] == [1, 0, 3]
    end(first)
    check(image)
    for name, found in (("one", [1, 0, 3]), ("two", [7, 7, 3])):
        again = make_machine(*argv, "-loadvm", name, name=name)
        assert again.execute("query-status")["running"]
        pages = [memory(again, tmp_path, at * MIB) for at in (1, 2, 3)]
        assert pages == [(byte, 4096) for byte in found]
        end(again)


@pytest.mark.parametrize(
    ("options", "status"),
    [((), "running"), (("-S",), "prelaunch")],
    ids=["started", "paused"],
)
def test_what_it_begins_with_does_not_say_whether_it_runs(make_machine, argv, options, status):
    machine = make_machine(*argv, "-S")
    assert hmp(machine, "savevm one") == ""
    end(machine)
    again = make_machine(*argv, *options, "-loadvm", "one", name="again")
    assert again.execute("query-status")["status"] == status


def test_preconfig_comes_first(make_machine, argv):
    machine = make_machine(*argv)
    assert hmp(machine, "savevm one") == ""
    end(machine)
    again = make_machine(*argv, "-preconfig", "-loadvm", "one", name="again")
    again.execute("x-exit-preconfig")
    assert again.execute("query-status")["running"]
    end(again)
    refused = make_machine(*argv, "-preconfig", "-loadvm", "none", name="refused")
    refused.execute("x-exit-preconfig")
    assert refused.wait() == 1


@pytest.mark.parametrize(
    ("profile", "options", "text"),
    [
        ("11.1", ("-loadvm", "none"), "Snapshot 'none' does not exist in one or more devices"),
        (
            "7.2",
            ("-loadvm", "one", "-m", "32"),
            "Size mismatch: pc.ram: 0x1000000 != 0x2000000: Invalid argument",
        ),
        ("7.2", ("-loadvm", "one", "-m", "32"), "Error -22 while loading VM state"),
        (
            "11.1",
            ("-loadvm", "one", "-m", "32"),
            "of device 'ram': Failed to load vmstate version_id: 4, ret: -22",
        ),
    ],
)
def test_a_start_that_fails(make_machine, argv, profile, options, text):
    sim = ("-sim", f"profile={profile}")
    machine = make_machine(*argv, *sim)
    assert hmp(machine, "savevm one") == ""
    end(machine)
    with pytest.raises(StartFailed) as caught:
        make_machine(*argv, *sim, *options, name="again")
    assert text in str(caught.value)


def test_a_guest_goes_on(make_machine, argv, disk, wait):
    """The requests to a disk that others serve are finished before, and go on behind."""
    shared = "memory-backend-memfd,id=ram,size=16M"
    served = ["-chardev", f"socket,id=c0,path={disk.path}"]
    served += ["-device", "vhost-user-blk-pci,id=disk0,chardev=c0"]
    machine = make_machine(*argv, "-object", shared, "-machine", "memory-backend=ram", *served)
    machine.execute("x-sim-guest-io", DISK0)

    def requests():
        (found,) = machine.execute("x-sim-query-guest")
        assert found["errors"] == 0
        return found["requests"]

    wait(lambda: requests() > 100, "the guest's load")
    assert hmp(machine, "savevm busy") == ""
    before = requests()
    wait(lambda: requests() > before + 100, "the load behind savevm")
    machine.execute("x-sim-guest-io", {**DISK0, "enable": False})
    assert hmp(machine, "savevm idle") == ""
    finished = requests()
    assert hmp(machine, "loadvm idle") == ""
    machine.execute("x-sim-guest-io", DISK0)
    wait(lambda: requests() > finished + 100, "the load behind loadvm")
