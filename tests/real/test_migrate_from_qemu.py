"""A real QEMU migrates into a qemu-sim: it is done on both sides, and the RAM is there.

Its firmware is ours: it marks a place in RAM and counts in 16 pages for ever, which are
so dirty in each pass.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from qemu_sim.qapi.emulator import Emulator
from qemu_sim.testing.listening import is_listening

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed")

TIMEOUT = 20  # seconds
PROFILES = ("7.2", "11.1")
BARE = ("-nodefaults", "-display", "none", "-accel", "tcg")
DEVICES = (
    *("-netdev", "hubport,id=net0,hubid=0", "-device", "virtio-net-pci,id=nic0,netdev=net0"),
    *("-blockdev", "null-co,node-name=d0,read-zeroes=on"),
    *("-device", "virtio-blk-pci,id=disk0,drive=d0"),
)
LOW = 640 << 10  # bytes; above are video memory and firmware
MARK = 0x21000
CODE = bytes.fromhex(
    "b80020 8ed8"  # mov ax, 0x2000; mov ds, ax
    "c7060010 4f4b"  # mov word [0x1000], "OK"
    "b80030 8ed8"  # mov ax, 0x3000; mov ds, ax
    "fe07 81c30010 ebf8"  # again: inc byte [bx]; add bx, 0x1000; jmp again
)
RESET = bytes.fromhex("ea000000f0")  # jmp f000:0000


def until(condition, what):
    end = time.monotonic() + TIMEOUT
    while not (value := condition()):
        assert time.monotonic() < end, f"not reached: {what}"
        time.sleep(0.01)
    return value


class Source:
    """The real QEMU."""

    def __init__(self, directory, machine, *arguments):
        self.directory = directory
        bios = directory / "bios"
        bios.write_bytes(CODE.ljust((64 << 10) - 16, b"\0") + RESET.ljust(16, b"\0"))
        argv = [QEMU, *BARE, "-machine", machine, "-m", "1", "-bios", str(bios), *arguments]
        self.qemu = Emulator(argv)
        self.execute = self.qemu.execute
        version = self.qemu.greeting["version"]["qemu"]
        self.profile = "{major}.{minor}".format(**version)

    def capabilities(self, *names):
        states = [{"capability": name, "state": True} for name in names]
        self.execute("migrate-set-capabilities", capabilities=states)

    def wait_marked(self):
        if self.execute("query-status")["running"]:
            until(lambda: self.memory(MARK, 2) == b"OK", "the firmware's mark in RAM")

    def memory(self, address, size):
        path = self.directory / "memory-there"
        self.execute("pmemsave", val=address, size=size, filename=str(path))
        return path.read_bytes()

    def ended(self):
        info = self.execute("query-migrate")
        return info if info.get("status") in ("completed", "failed") else None


@pytest.fixture
def qemu_sim_mode():
    return "daemon"


class Move:
    """A source, and a destination of the same version that waits for it."""

    def __init__(self, make_machine, directory, program_machine, arguments):
        self._make_machine, self._directory = make_machine, directory
        self.source = Source(directory, program_machine, *arguments)

    def run(self, transport="unix", machine="q35", arguments=(), capabilities=(), parameters=None):
        """Migrate, and wait for the source's end; returns its status."""
        self.destination = self._make_machine(
            *("-sim", f"profile={self.source.profile},phase-timeout=2", "-nodefaults"),
            *("-machine", machine, "-m", "1", *arguments, "-incoming", "defer"),
        )
        states = [{"capability": name, "state": True} for name in (*capabilities, "events")]
        self.destination.execute("migrate-set-capabilities", capabilities=states)
        self.destination.execute("migrate-set-parameters", parameters or {})
        if transport == "file":
            return self._run_by_file(capabilities)
        uri = f"unix:{self._directory}/migration" if transport == "unix" else "tcp:127.0.0.1:0"
        self.destination.execute("migrate-incoming", uri=uri)
        if transport == "tcp":
            (address,) = self.destination.execute("query-migrate")["socket-address"]
            uri = f"tcp:127.0.0.1:{address['port']}"
        self.source.capabilities(*capabilities)
        self.source.execute("migrate-set-parameters", **(parameters or {}))
        self.source.execute("migrate", uri=uri)
        return until(self.source.ended, "the source's end")["status"]

    def leave_ram(self, machine, arguments):
        """Migrate to a destination that is made around the source's RAM; returns the status."""
        there = {kind: str(self._directory / kind) for kind in ("main", "cpr")}
        channels = [
            {"channel-type": kind, "addr": {"transport": "socket", "type": "unix", "path": path}}
            for kind, path in there.items()
        ]
        incoming = [word for each in channels for word in ("-incoming", json.dumps(each))]
        argv = ("-nodefaults", "-machine", machine, "-m", "1", *arguments, *incoming)
        with ThreadPoolExecutor() as pool:
            starting = pool.submit(self._make_machine, *argv)
            until(lambda: is_listening(there["cpr"]), "the destination waits")
            self.source.execute("migrate", channels=channels)
            self.destination = starting.result()
        return until(self.source.ended, "the source's end")["status"]

    def _run_by_file(self, capabilities):
        uri = f"file:{self._directory}/saved"
        self.source.capabilities(*capabilities)
        self.source.execute("migrate", uri=uri)
        status = until(self.source.ended, "the source's end")["status"]
        self.destination.execute("migrate-incoming", uri=uri)
        return status

    def report(self):
        """Wait for the destination's end; returns what it says of it."""
        until(lambda: self._info()["status"] in ("completed", "failed"), "the destination's end")
        return self._info()

    def _info(self):
        return self.destination.execute("query-migrate")

    def memory(self, address, size):
        """RAM of the destination."""
        path = self._directory / "memory-here"
        self.destination.execute("pmemsave", val=address, size=size, filename=str(path))
        return path.read_bytes()


@pytest.fixture
def make_move(make_machine, tmp_path):
    """Start a real QEMU whose version we have a profile of, and its firmware."""
    made = []

    def make(machine="q35", *arguments):
        made.append(Move(make_machine, tmp_path, machine, arguments))
        if made[-1].source.profile not in PROFILES:
            pytest.skip(f"no profile of QEMU {made[-1].source.profile}")
        made[-1].source.wait_marked()
        return made[-1]

    yield make
    for move in made:
        move.source.qemu.close()


@pytest.mark.parametrize("transport", ["unix", "tcp"])
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
@pytest.mark.parametrize("capabilities", [(), ("return-path", "events")], ids=["plain", "answered"])
def test_completed_on_both_sides(make_move, transport, stopped, capabilities):
    move = make_move("q35", *DEVICES)
    if stopped:
        move.source.execute("stop")
    assert move.run(transport, "q35", DEVICES, capabilities) == "completed"
    info = move.report()
    assert info["status"] == "completed"
    assert move.source.execute("query-status")["status"] == "postmigrate"
    state = "paused" if stopped else "running"
    assert move.destination.execute("query-status")["status"] == state
    events = [each.get("data", {}).get("status", each["event"]) for each in move.destination.events]
    assert events == ["setup", "active", *([] if stopped else ["RESUME"]), "completed"]
    names = [each["name"] for each in info["x-sim-skipped"]["sections"]]
    assert {"cpu", "0000:00:01.0/virtio-net", "0000:00:02.0/virtio-blk"} <= set(names)
    assert "globalstate" not in names
    assert "pc.bios" in [each["name"] for each in info["x-sim-skipped"]["blocks"]]
    assert move.memory(MARK, 2) == b"OK"
    assert move.memory(0, LOW) == move.source.memory(0, LOW)


def test_a_source_that_never_ran(make_move):
    """Its run state comes along: `cont` starts it here."""
    move = make_move("q35", "-S")
    assert move.run() == "completed"
    assert move.report()["status"] == "completed"
    assert move.destination.execute("query-status")["status"] == "prelaunch"
    move.destination.execute("cont")
    assert move.destination.execute("query-status")["running"]


def test_differences_of_pages(make_move):
    """With xbzrle a page that was sent before comes as what changed in it."""
    move = make_move()
    move.source.capabilities("xbzrle")
    # Slow enough for the third pass, in which the first differences are sent.
    slow = {"max-bandwidth": 64 << 10, "downtime-limit": 1}
    move.source.execute("migrate-set-parameters", **slow)
    assert move.run() == "completed"
    assert move.report()["status"] == "completed"
    if not move.source.execute("query-migrate")["xbzrle-cache"]["pages"]:
        pytest.skip("this QEMU saw no page dirty in the third pass, and sent no difference")
    assert move.memory(0, LOW) == move.source.memory(0, LOW)


@pytest.mark.parametrize("transport", ["unix", "tcp"])
@pytest.mark.parametrize("compression", ["none", "zlib"])
@pytest.mark.parametrize("machine", ["q35", "pc-q35-7.2"])
def test_several_channels(make_move, transport, compression, machine):
    more = ("-uuid", str(uuid.uuid4()))
    move = make_move(machine, *more)
    settings = {"multifd-channels": 5, "multifd-compression": compression}
    assert move.run(transport, machine, more, ("multifd",), settings) == "completed"
    info = move.report()
    assert info["status"] == "completed"
    assert move.source.execute("query-migrate")["ram"]["multifd-bytes"] > 0
    assert "pc.bios" in [each["name"] for each in info["x-sim-skipped"]["blocks"]]
    assert move.memory(MARK, 2) == b"OK"
    assert move.memory(0, LOW) == move.source.memory(0, LOW)


@pytest.mark.parametrize("more", [(), ("multifd",)], ids=["plain", "multifd"])
def test_a_file_with_places(make_move, more):
    move = make_move("q35", *DEVICES)
    if move.source.profile == "7.2":
        pytest.skip("this QEMU has no mapped-ram")
    capabilities = ("mapped-ram", *more)
    assert move.run("file", "q35", DEVICES, capabilities) == "completed"
    info = move.report()
    assert info["status"] == "completed"
    assert "pc.bios" in [each["name"] for each in info["x-sim-skipped"]["blocks"]]
    assert move.memory(MARK, 2) == b"OK"
    assert move.memory(0, LOW) == move.source.memory(0, LOW)


def test_ram_of_a_backend_and_a_uuid(make_move):
    more = ("-object", "memory-backend-memfd,id=mem,size=1M,share=on", "-uuid", str(uuid.uuid4()))
    move = make_move("q35,memory-backend=mem", *more)
    validated = ("validate-uuid",)
    assert move.run("unix", "q35,memory-backend=mem", more, validated) == "completed"
    info = move.report()
    assert info["status"] == "completed"
    assert "mem" not in [each["name"] for each in info["x-sim-skipped"]["blocks"]]
    assert move.memory(0, LOW) == move.source.memory(0, LOW)


def memory_files(pid):
    paths = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    held = [path for path in paths if re.match("/memfd:|/dev/shm/", os.readlink(path))]
    return {(os.stat(path).st_dev, os.stat(path).st_ino) for path in held}


def test_ram_that_is_a_file(make_move, tmp_path):
    backend = f"memory-backend-file,id=mem,size=1M,share=on,mem-path={tmp_path}/ram"
    move = make_move("q35,memory-backend=mem", "-object", backend)
    left = ("x-ignore-shared",)
    assert move.run("unix", "q35,memory-backend=mem", ("-object", backend), left) == "completed"
    assert move.report()["status"] == "completed"
    assert (tmp_path / "ram").read_bytes()[MARK : MARK + 2] == b"OK"
    assert move.memory(MARK, 2) == b"OK"


@pytest.mark.usefixtures("knows_cpr_transfer")
@pytest.mark.parametrize("kind", ["memfd", "ram", "shm"])
def test_ram_that_stays_where_it_is(make_move, kind):
    more = ("-object", f"memory-backend-{kind},id=mem,size=1M,share=on")
    machine = "q35,memory-backend=mem,aux-ram-share=on"
    move = make_move(machine, *more)
    move.source.execute("migrate-set-parameters", mode="cpr-transfer")
    assert move.leave_ram(machine, more) == "completed"
    info = move.report()
    assert info["status"] == "completed"
    assert info["x-sim-skipped"]["blocks"] == []
    assert move.destination.execute("query-status")["running"]
    assert len(memory_files(move.destination.pid) & memory_files(move.source.qemu.pid)) == 1
    assert move.memory(MARK, 2) == b"OK"
    assert move.memory(0, LOW) == move.source.memory(0, LOW)


def test_a_source_that_may_turn_to_postcopy_and_does_not(make_move):
    move = make_move()
    assert move.run(capabilities=("postcopy-ram", "return-path")) == "completed"
    assert move.report()["status"] == "completed"
    assert move.memory(MARK, 2) == b"OK"


@pytest.mark.parametrize(
    ("there", "here", "text"),
    [
        ("q35", "pc", r"Machine type received is 'pc-q35-\S+' and local is 'pc-i440fx-\S+'"),
        ("q35,suppress-vmdesc=on", "q35", "the stream has no description of its devices"),
    ],
    ids=["machine-type", "no-description"],
)
def test_refused_in_words(make_move, there, here, text):
    move = make_move(there)
    assert move.run(machine=here, capabilities=("return-path",)) == "failed"
    assert move.destination.wait() == 1
    printed = move.destination.unwrapped.launch.printed()
    assert re.search(text, printed)
    assert move.source.execute("query-status")["status"] == "running"
