"""A migration channel that breaks, of each kind: what ours says, and a real QEMU beside it.

The source: its peer leaves, resets, or stalls and it is cancelled. The destination: the
stream ends somewhere. Statuses, words and run states are those that 11.1.3 and 7.2.22 were
heard to have; where these depend on the moment, there is more than one.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import sys
import time
from contextlib import contextmanager, suppress

import pytest

from qemu_sim.qapi.emulator import Emulator, EmulatorGone
from qemu_sim.wire import vmfile

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
OURS = [sys.executable, "-m", "qemu_sim"]
BARE = ("-nodefaults", "-display", "none", "-machine", "pc", "-m", "16")
SIZE = 8 << 20  # bytes that the guest uses; more than sockets and pipes hold
TIMEOUT = 20  # seconds
ENDS = ("failed", "completed", "cancelled")
INVALID, EIO = "Invalid argument", "Input/output error"
LOAD = "load of migration failed: "


class Machine:
    """A program under test; `version` is "11.1" or "7.2"."""

    def __init__(self, program, directory, *more):
        self.directory = str(directory)
        qtest = os.path.join(self.directory, f"qtest{time.monotonic_ns()}")
        where = ["-qtest", f"unix:{qtest},server=on,wait=off", "-qtest-log", "none"]
        accelerator = [] if program is not QEMU else ["-accel", "tcg"]
        program = [program] if program is QEMU else [*OURS, "-sim", f"profile={program}"]
        self.emulator = Emulator([*program, *BARE, *accelerator, *where, *more])
        version = self.emulator.greeting["version"]["qemu"]
        self.version = "11.1" if version["major"] > 10 else "7.2"
        self._qtest = qtest

    def fill(self, size=SIZE):
        """Let the guest use `size` bytes."""
        with socket.socket(socket.AF_UNIX) as sock, sock.makefile("r") as answers:
            sock.connect(self._qtest)
            sock.sendall(f"memset 0x100000 {size:#x} 0xab\n".encode())
            assert answers.readline().startswith("OK")

    def ended(self):
        """Wait for the end; return status, words, and the run state."""
        end = time.monotonic() + TIMEOUT
        while (info := self.emulator.execute("query-migrate")).get("status") not in ENDS:
            assert time.monotonic() < end, info
            time.sleep(0.01)
        state = self.emulator.execute("query-status")["status"]
        return info["status"], info.get("error-desc"), state


@pytest.fixture(params=["11.1", "7.2", "real"])
def start(request, tmp_path):
    if request.param == "real" and QEMU is None:
        pytest.skip("no qemu-system-x86_64 is installed")
    program = QEMU if request.param == "real" else request.param
    with suppress_exit() as made:

        def run(*more):
            made.append(Machine(program, tmp_path, *more))
            return made[-1]

        yield run


@contextmanager
def suppress_exit():
    made = []
    yield made
    for machine in made:
        machine.emulator.close()


# The source.


def listener(kind, directory):
    """Return a socket that listens, and its URI."""
    if kind == "unix":
        sock, path = socket.socket(socket.AF_UNIX), os.path.join(directory, "mig")
        sock.bind(path)
        uri = f"unix:{path}"
    else:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        uri = f"tcp:127.0.0.1:{sock.getsockname()[1]}"
    sock.listen()
    return sock, uri


def leaves(peer):
    peer.close()


def reads_a_little(peer):
    peer.recv(10)
    peer.close()


def resets(peer):
    peer.recv(1)
    if peer.family == socket.AF_INET:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


BROKEN = ("Broken pipe", "Connection reset by peer")
WRITE = {None, *(f"Unable to write to socket: {text}" for text in BROKEN)}
WRITE |= {"ram_save_setup failed: Input/output error"}


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("act", [leaves, reads_a_little, resets])
def test_a_peer_that_goes_leaves_the_source_running(start, tmp_path, kind, act):
    source = start()
    source.fill()
    sock, uri = listener(kind, str(tmp_path))
    with sock:
        source.emulator.execute("migrate", uri=uri)
        peer, _ = sock.accept()
        act(peer)
        status, words, state = source.ended()
    assert (status, state) == ("failed", "running")
    assert words in WRITE


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_peer_that_stalls_can_be_given_up(start, tmp_path, kind):
    source = start()
    source.fill()
    sock, uri = listener(kind, str(tmp_path))
    with sock:
        if kind == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        source.emulator.execute("migrate", uri=uri)
        peer, _ = sock.accept()
        with peer:
            time.sleep(0.2)
            assert source.emulator.execute("query-migrate")["status"] == "active"
            source.emulator.execute("migrate_cancel")
            assert source.ended() == ("cancelled", None, "running")


PROGRAMS = {
    "ends": "exit 3",
    "reads a little": "head -c 10 >/dev/null",
    "is killed": "head -c 10 >/dev/null; kill -9 $$",
    "is none": "/no/such/program 2>/dev/null",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_ends_leaves_the_source_running(start, program):
    source = start()
    source.fill()
    source.emulator.execute("migrate", uri=f"exec:{PROGRAMS[program]}")
    status, words, state = source.ended()
    assert (status, state) == ("failed", "running")
    assert words in WRITE | {"Unable to write to command: Broken pipe"}


@pytest.mark.parametrize("kind", ["socketpair", "pipe"])
@pytest.mark.parametrize("profile", ["11.1", "7.2"])
def test_a_descriptor_whose_other_end_is_closed(make_machine, kind, profile):
    """QEMU over its standard streams cannot be given one, so this is ours alone."""
    source = make_machine(*BARE, "-sim", f"profile={profile}")
    there, ours = _ends(kind)
    source.send_fd("mig", ours)
    os.close(ours)
    os.close(there)
    source.execute("migrate", uri="fd:mig")
    end = time.monotonic() + TIMEOUT
    while (info := source.execute("query-migrate"))["status"] not in ENDS:
        assert time.monotonic() < end
    assert info["status"] == "failed"
    assert info["error-desc"].startswith("Unable to write to ")
    assert info["error-desc"].endswith("Broken pipe")
    assert source.execute("query-status")["running"]


def _ends(kind):
    if kind == "pipe":
        return os.pipe()
    return tuple(sock.detach() for sock in socket.socketpair())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/no/dir/x", "Could not create '/no/dir/x': No such file or directory"),
        ("/dev/full", "failed to truncate migration file to offset 0: Invalid argument"),
        ("/", "Could not create '/': Is a directory"),
    ],
)
def test_a_file_that_cannot_be_written(start, path, words):
    source = start()
    with pytest.raises(Exception, match=r".") as error:
        source.emulator.execute("migrate", uri=f"file:{path}")
    if source.version == "7.2":
        assert str(error.value) == "Parameter 'uri' expects a valid migration protocol"
        return
    assert str(error.value) == words
    assert source.ended() == ("failed", words, "running")


# The destination.


def test_devices_come_and_go_until_the_source_is_there(start, tmp_path):
    destination = start("-device", "virtio-rng-pci,id=first", "-incoming", f"unix:{tmp_path}/mig")
    assert destination.emulator.execute("device_add", driver="virtio-rng-pci", id="more") == {}
    assert destination.emulator.execute("device_del", id="first") == {}


SECTION_ID = "Failed to load section ID: stream error: -5"
GLOBAL_STATE = "error while loading state for instance 0x0 of device 'globalstate'"
# Where it ends; 11.1: errno and words; 7.2: errno, and what is printed.
ENDINGS = {
    "nothing": (INVALID, "Not a migration stream, magic: 0 != 5145564d", INVALID, None),
    "magic": (
        "Operation not supported",
        "Unsupported migration stream version, file version 0 != 3",
        "Operation not supported",
        "Unsupported migration stream version",
    ),
    "configuration": (
        INVALID,
        "Failed to load configuration state: stream error: -5",
        EIO,
        "Failed to load configuration:name",
    ),
    "head of RAM": (INVALID, "Unable to read ID string for section 0", INVALID, None),
    "head of a part": (
        EIO,
        "Failed to read section ID: -5",
        EIO,
        "qemu_loadvm_section_part_end: Failed to read section ID: -5",
    ),
    "a part": (
        EIO,
        "Failed to load vmstate version_id: 4, ret: -5",
        EIO,
        "error while loading state section id",
    ),
    "globalstate": (
        INVALID,
        f"{GLOBAL_STATE}: Failed to load globalstate state: stream error: -5",
        EIO,
        GLOBAL_STATE,
    ),
    "between": (EIO, f"{SECTION_ID}: Channel error: Input/output error", EIO, None),
    "a ping": (EIO, f"{SECTION_ID}: Channel error: Input/output error", EIO, None),
}


PINGS = b"\x08\0\1\0\0" + b"\x08\0\2\0\4\0\0\0\1"  # it opens a return path, and asks


def cut(stream, where):
    items = list(vmfile.read(stream))
    ram = [offset for offset, item in items if isinstance(item, vmfile.RamPart)]
    state = next(
        offset
        for offset, item in items
        if isinstance(item, vmfile.Device) and item.section.name == "globalstate"
    )
    ends = {
        "nothing": 0,
        "magic": 4,
        "configuration": 20,
        "head of RAM": ram[0] + 3,
        "head of a part": ram[1] + 3,
        "a part": ram[1] + 20,
        "globalstate": state + 50,
        "between": ram[1],
        "a ping": ram[0],
    }
    return stream[: ends[where]] + (PINGS if where == "a ping" else b"")


def record(start, directory):
    source = start()
    source.fill(64 << 10)
    sock, uri = listener("unix", directory)
    with sock:
        source.emulator.execute("migrate", uri=uri)
        peer, _ = sock.accept()
        with peer, peer.makefile("rb") as file:
            return file.read()


# What depends on the moment. Of a socket that ends without a word, QEMU says nothing at all.
RESET = "Unable to read from socket: Connection reset by peer"  # the answer was not read
ALSO_TOLD = {"nothing": (None,), "a ping": (f"{LOAD}{EIO}: {SECTION_ID}: {RESET}",)}
CASES = [("unix", where) for where in ENDINGS]
CASES += [(kind, where) for kind in ("tcp", "exec", "file") for where in ("magic", "a part")]


@pytest.mark.parametrize(("kind", "where"), CASES)
def test_a_stream_that_ends_too_early(start, tmp_path, kind, where):
    stream = cut(record(start, str(tmp_path)), where)
    destination = start("-incoming", "defer")
    is_new = destination.version == "11.1"
    if kind == "file" and not is_new:
        return  # it has no such channel
    begin(destination, kind, stream, {"exit-on-error": False} if is_new else {})
    new_errno, words, old_errno, printed = ENDINGS[where]
    if is_new:
        status, told, state = destination.ended()
        assert (status, state) == ("failed", "inmigrate")
        assert told in (f"{LOAD}{new_errno}: {words}", *ALSO_TOLD.get(where, ()))
        return
    with pytest.raises(EmulatorGone) as gone:
        destination.ended()
    assert f"{LOAD}{old_errno}" in str(gone.value)
    assert (printed or "") in str(gone.value)


def begin(destination, kind, stream, arguments):
    """Let the destination have a stream over a channel of that kind."""
    path = os.path.join(destination.directory, "incoming")
    if kind in ("exec", "file"):
        with open(path, "wb") as file:
            file.write(stream)
        uri = {"exec": f"exec:cat {path}", "file": f"file:{path}"}[kind]
        destination.emulator.execute_with("migrate-incoming", {"uri": uri, **arguments})
        return
    uri = {"unix": f"unix:{path}", "tcp": "tcp:127.0.0.1:0"}[kind]
    destination.emulator.execute_with("migrate-incoming", {"uri": uri, **arguments})
    sock = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    with sock:
        if kind == "unix":
            sock.connect(path)
        else:
            address = destination.emulator.execute("query-migrate")["socket-address"][0]
            sock.connect(("127.0.0.1", int(address["port"])))
        with suppress(OSError):
            sock.sendall(stream)
