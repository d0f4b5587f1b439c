"""A machine goes on in another process, or in another program, around the RAM that it has."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from qemu_sim.testing import QMPError, StartFailed
from qemu_sim.testing.listening import wait_for_listener

SHARED = ("-machine", "aux-ram-share=on")
EVENTS = [{"capability": "events", "state": True}]


def unix(path, kind="main"):
    addr = {"transport": "socket", "type": "unix", "path": str(path)}
    return {"channel-type": kind, "addr": addr}


def ram_files(pid):
    """Which memory files a process has: (device, inode)."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        if "guest-ram" in os.readlink(path):
            status = os.stat(path)
            found.add((status.st_dev, status.st_ino))
    return found


def arguments(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read().split("\0")


def statuses(machine):
    told = [each for each in machine.events if each["event"] in ("MIGRATION", "STOP", "RESUME")]
    return [each.get("data", {}).get("status", each["event"]) for each in told]


@pytest.fixture
def channels(tmp_path):
    return [unix(tmp_path / "main"), unix(tmp_path / "cpr", "cpr")]


@pytest.fixture
def transferring(disk_world):
    """Return a source under load that is set to cpr-transfer."""
    source = disk_world.source(*SHARED)
    disk_world.use_disk(source)
    source.execute("migrate-set-capabilities", capabilities=EVENTS)
    source.execute("migrate-set-parameters", mode="cpr-transfer")
    return source


@pytest.fixture
def succeed(disk_world, channels):
    """Start a destination; returns the future that it is, until a source has come."""
    path = channels[1]["addr"]["path"]
    with ThreadPoolExecutor() as pool:

        def start(*incoming):
            more = [word for one in incoming for word in ("-incoming", one)]
            argv = [*disk_world.argv(), *SHARED, *more, "-incoming", json.dumps(channels[1])]
            starting = pool.submit(disk_world.raw, *argv, name="destination")
            wait_for_listener(path, 10)
            return starting

        yield start


@pytest.mark.parametrize("deferred", [False, True], ids=["listening", "deferred"])
def test_the_next_process_has_the_very_same_ram(
    disk_world, transferring, succeed, channels, deferred
):
    source, main = transferring, channels[0]
    starting = succeed("defer" if deferred else json.dumps(main))
    assert not starting.done()
    shared = ram_files(source.pid)
    assert len(shared) == 1
    source.execute("migrate", channels=channels)
    destination = starting.result()
    if deferred:
        assert source.execute("query-status")["running"]
        assert source.execute("query-migrate")["status"] == "setup"
        destination.execute("migrate-incoming", channels=[main])
    source.wait_event("MIGRATION", status="completed")
    disk_world.moves_blocks(destination)
    assert statuses(source) == ["setup", "STOP", "active", "device", "completed"]
    assert source.execute("query-migrate")["ram"]["total"] == 0
    assert ram_files(destination.pid) == shared
    source.kill()
    disk_world.moves_blocks(destination)


def test_a_destination_that_fails_leaves_the_source_running(
    disk_world, transferring, succeed, channels
):
    starting = succeed("defer")
    transferring.execute("migrate", channels=channels)
    starting.result().execute("quit")
    transferring.wait_event("MIGRATION", status="failed")
    assert statuses(transferring) == ["setup", "failing", "failed"]
    disk_world.moves_blocks(transferring)


def test_a_tap_is_not_left_to_the_next_process(net_world, tmp_path, channels):
    """It opens its own, and finds it busy before the source has stopped."""
    source = net_world.source(*SHARED)
    source.execute("migrate-set-capabilities", capabilities=EVENTS)
    source.execute("migrate-set-parameters", mode="cpr-transfer")
    with ThreadPoolExecutor() as pool:
        incoming = [word for each in channels for word in ("-incoming", json.dumps(each))]
        starting = pool.submit(net_world.raw, *net_world.argv(), *SHARED, *incoming)
        wait_for_listener(channels[1]["addr"]["path"], 10)
        source.execute("migrate", channels=channels)
        with pytest.raises(StartFailed, match=r"/dev/net/tun \(tap0\): Device or resource busy"):
            starting.result()
    source.wait_event("MIGRATION", status="failed")
    assert statuses(source) == ["setup", "failing", "failed"]
    assert source.execute("query-migrate")["error-desc"].startswith("Failed to connect to")
    net_world.served_by(source)


def test_backends_are_not_handed_over_as_well(disk_world, transferring, channels):
    words = "^backend-transfer is not compatible with mode=cpr-transfer$"
    with pytest.raises(QMPError, match=words):
        transferring.execute("migrate", channels=channels, backend_transfer=True)
    assert transferring.execute("query-migrate") == {}
    disk_world.moves_blocks(transferring)


def test_ram_that_only_this_process_has_is_told(make_machine, channels):
    machine = make_machine("-m", "64", *SHARED)
    machine.execute("migrate-set-parameters", mode="cpr-transfer")
    words = (
        "Memory region pc.ram is not compatible with CPR. share=on is required for "
        "memory-backend objects, and aux-ram-share=on is required."
    )
    with pytest.raises(QMPError, match=words):
        machine.execute("migrate", channels=channels)
    assert machine.execute("query-migrate")["blocked-reasons"] == [words]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_waits_for_a_predecessor_can_be_killed(channels, number):
    argv = ["-machine", "none", "-incoming", "defer", "-incoming", json.dumps(channels[1])]
    waiting = subprocess.Popen([sys.executable, "-m", "qemu_sim", *argv])
    wait_for_listener(channels[1]["addr"]["path"], 10)
    waiting.send_signal(number)
    assert waiting.wait(10) == -number


def test_a_daemon_is_ready_when_its_predecessor_came(transferring, channels, disk_world, tmp_path):
    incoming = [word for each in channels for word in ("-incoming", json.dumps(each))]
    argv = [*disk_world.argv(), *SHARED, *incoming, "-daemonize", "-pidfile", f"{tmp_path}/pid"]
    starting = subprocess.Popen([sys.executable, "-m", "qemu_sim", *argv])
    wait_for_listener(channels[1]["addr"]["path"], 10)
    assert starting.poll() is None
    transferring.execute("migrate", channels=channels)
    transferring.wait_event("MIGRATION", status="completed")
    assert starting.wait(10) == 0
    daemon = int((tmp_path / "pid").read_text())
    try:
        assert ram_files(daemon) == ram_files(transferring.pid)
    finally:
        os.kill(daemon, signal.SIGTERM)


class Monitor:
    """A client of a machine that listens at `path`, once it does."""

    def __init__(self, path, wait) -> None:
        self._path = path
        wait(self._is_greeted, f"a greeting at {path}")
        self.execute("qmp_capabilities")

    def _is_greeted(self) -> bool:
        """Connect; the socket of a program that is replaced goes, and the next one's comes, later."""
        self._sock = socket.socket(socket.AF_UNIX)
        self._lines = self._sock.makefile("rw")
        try:
            self._sock.connect(self._path)
            return "QMP" in self._next()
        except (ConnectionError, FileNotFoundError):
            self.close()
            return False

    def close(self) -> None:
        self._lines.close()
        self._sock.close()

    def execute(self, command, **arguments):
        print(json.dumps({"execute": command, "arguments": arguments}), file=self._lines)
        self._lines.flush()
        while "return" not in (answer := self._next()):
            assert "event" in answer, answer
        return answer["return"]

    def query_guest(self):
        return {
            each.pop("device"): SimpleNamespace(**each)
            for each in self.execute("x-sim-query-guest")
        }

    def _next(self):
        return json.loads(self._lines.readline())


@pytest.fixture
def executing(disk_world):
    """Return a source under load, whose next program listens where it does."""
    source = disk_world.source(*SHARED)
    disk_world.use_disk(source)
    source.execute("migrate-set-capabilities", capabilities=EVENTS)
    qemu_sim = [sys.executable, "-m", "qemu_sim", *disk_world.argv(), *SHARED]
    command = [
        *qemu_sim,
        "-qmp",
        f"unix:{source.qmp_path},server=on,wait=off",
        "-incoming",
        "defer",
    ]
    source.execute("migrate-set-parameters", mode="cpr-exec", cpr_exec_command=command)
    return source


def test_the_same_process_becomes_the_next_program(disk_world, executing, tmp_path, wait):
    """Its monitor is a new one; what it inherits is the state, and RAM."""
    source = executing
    shared, saved = ram_files(source.pid), f"file:{tmp_path}/saved"
    before = source.query_guest()["disk0"].requests
    source.execute("migrate", uri=saved)
    source.wait_event("MIGRATION", status="completed")
    assert statuses(source) == ["setup", "STOP", "active", "device", "completed"]
    wait(lambda: "-incoming" in arguments(source.pid), "the next program")
    monitor = Monitor(source.qmp_path, wait)
    assert ram_files(source.pid) == shared
    monitor.execute("migrate-incoming", uri=saved)
    wait(lambda: monitor.execute("query-status")["running"], "the next program runs")
    assert monitor.query_guest()["disk0"].requests >= before
    disk_world.moves_blocks(monitor)
    monitor.close()


def test_without_a_next_program_the_guest_goes_on(disk_world, executing, tmp_path):
    source = executing
    source.execute("migrate-set-parameters", cpr_exec_command=["/no/such/program", "-x"])
    source.execute("migrate", uri=f"file:{tmp_path}/saved")
    source.wait_event("RESUME")
    assert statuses(source)[-3:] == ["completed", "failed", "RESUME"]
    words = "execvp /no/such/program failed: No such file or directory"
    assert source.execute("query-migrate")["error-desc"] == words
    disk_world.moves_blocks(source)


def test_ram_that_is_a_file_stays_in_it(make_machine, tmp_path, wait):
    """cpr-reboot saves the rest; whoever opens the file has the same RAM."""
    backend = f"memory-backend-file,id=ram,size=64M,share=on,mem-path={tmp_path}/ram"
    argv = ("-machine", "q35,memory-backend=ram", "-m", "64", "-object", backend)
    ignored = [*EVENTS, {"capability": "x-ignore-shared", "state": True}]
    source = make_machine(*argv)
    with open(tmp_path / "ram", "r+b") as ram:
        ram.write(b"in the file")
    source.execute("migrate-set-capabilities", capabilities=ignored)
    source.execute("migrate-set-parameters", mode="cpr-reboot")
    source.execute("migrate", uri=f"file:{tmp_path}/saved")
    source.wait_event("MIGRATION", status="completed")
    assert statuses(source) == ["setup", "STOP", "active", "device", "completed"]
    assert os.path.getsize(tmp_path / "saved") < 4096
    source.execute("quit")
    assert source.wait() == 0
    destination = make_machine(*argv, "-incoming", "defer")
    destination.execute("migrate-set-capabilities", capabilities=ignored)
    destination.execute("migrate-incoming", uri=f"file:{tmp_path}/saved")
    destination.wait_event("RESUME")
    destination.execute("pmemsave", val=0, size=11, filename=f"{tmp_path}/dump")
    assert (tmp_path / "dump").read_bytes() == b"in the file"
