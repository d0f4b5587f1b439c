"""What each transport opens, and what it says when it cannot: as real QEMUs were heard to."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd, open_descriptors
from qemu_sim.io.address import InetAddress, VsockAddress
from qemu_sim.machine.fdsets import FdSets
from qemu_sim.migration.transport import Access
from qemu_sim.migration.transports.exec import ExecTransport
from qemu_sim.migration.transports.fd import FdTransport
from qemu_sim.migration.transports.file import FileTransport
from qemu_sim.migration.transports.rdma import RdmaTransport
from qemu_sim.migration.transports.socket import SocketTransport

NEW, OLD = (11, 1, 0), (7, 2, 0)
_ANY = str(socket.VMADDR_CID_ANY)  # the port has the same number for it
NO_FILE = "fd: migration to a file is not supported. Use file: instead."


@pytest.fixture
def fdsets():
    sets = FdSets()
    yield sets
    sets.close()


@pytest.fixture
def named():
    """What `getfd` has named."""
    found: dict[str, Fd] = {}
    yield found
    for fd in found.values():
        fd.close()


@pytest.fixture
def access(fdsets, named):
    return Access(NEW, True, fdsets.reopen, named)


@pytest.fixture(autouse=True)
def nothing_stays_open():
    before = open_descriptors()
    yield
    assert open_descriptors() == before


def refusal(open_it, *arguments):
    with pytest.raises(QMPError) as error:
        open_it(*arguments)
    return str(error.value)


async def through(opening, data=None):
    """Send `data` on the channel and close it, or return what comes until its end."""
    channel = await opening.channel()
    if data is not None:
        channel.send(data)
        await channel.drain()
        channel.close()
        return None
    got, ended = [], asyncio.Event()
    channel.on_data = lambda piece, _: got.append(piece)
    channel.on_close = lambda _: ended.set()
    channel.start_reading()
    async with asyncio.timeout(5):
        await ended.wait()
    return b"".join(got)


@pytest.mark.parametrize("offset", [0, 100])
async def test_a_file_is_cut_at_the_offset_and_read_from_there(access, tmp_path, offset):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    transport = FileTransport(str(path), offset)
    await through(transport.connect(access), b"machine")
    assert path.read_bytes() == b"x" * offset + b"machine"
    assert await through(transport.listen(access)) == b"machine"


def test_a_file_that_cannot_be_is_refused(access, fdsets, tmp_path):
    for path, made, opened in (
        (
            f"{tmp_path}/no/dir",
            "Could not create '{}': No such file or directory",
            "Could not open '{}': No such file or directory",
        ),
        ("/dev/fdset/7", "Failed to find fdset {}", "Failed to find fdset {}"),
    ):
        transport = FileTransport(path, 0)
        assert refusal(transport.connect, access) == made.format(path)
        assert refusal(transport.listen, access) == opened.format(path)
    cut = "failed to truncate migration file to offset {}: Invalid argument"
    assert refusal(FileTransport("/dev/full", 0).connect, access) == cut.format("0")
    huge = FileTransport(str(tmp_path / "new"), (1 << 64) - 1)
    assert refusal(huge.connect, access) == cut.format("f" * 16)


async def test_a_file_may_come_from_a_descriptor_set(access, fdsets, tmp_path):
    path = tmp_path / "file"
    transport = FileTransport("/dev/fdset/7", 4096)
    fdsets.add(Fd(os.open(path, os.O_RDWR | os.O_CREAT)), 7, None)
    assert refusal(transport.connect, access) == (
        "Failed to find file descriptor with matching flags=0x41"
    )
    fdsets.add(Fd(os.open(path, os.O_WRONLY)), 7, None)
    await through(transport.connect(access), b"machine")
    fdsets.add(Fd(os.open(path, os.O_RDONLY)), 7, None)
    assert await through(transport.listen(access)) == b"machine"


async def test_a_named_descriptor_is_taken(access, named):
    source, sink = map(Fd, os.pipe2(os.O_CLOEXEC))
    named.update(sink=sink, source=source)
    await through(FdTransport("sink").connect(access), b"machine")
    assert await through(FdTransport("source").listen(access)) == b"machine"
    assert named == {}
    missing = "File descriptor named 'sink' has not been found"
    assert refusal(FdTransport("sink").connect, access) == missing
    assert refusal(FdTransport("sink").listen, access) == missing


async def test_an_inherited_number_is_taken_by_a_destination_only(access):
    here, there = socket.socketpair()
    here.set_inheritable(True)
    there.send(b"machine")
    there.close()
    number = here.detach()
    assert refusal(FdTransport(str(number)).connect, access) == (
        f"File descriptor named '{number}' has not been found"
    )
    opening = FdTransport(str(number)).listen(access._replace(named_fds=None))
    assert not os.get_inheritable(number)
    assert await through(opening) == b"machine"


def test_a_number_is_one(access):
    for name, words in (
        ("0x7", "Invalid file descriptor number '0x7'"),
        ("-1", "File descriptor named '-1' has not been found"),
        ("99999", NO_FILE),
    ):
        assert refusal(FdTransport(name).listen, access) == words
    line = access._replace(named_fds=None)
    assert refusal(FdTransport("n").listen, line) == "Invalid file descriptor number 'n'"
    old = access._replace(version=OLD)
    assert refusal(FdTransport("99999").listen, old) == "fd '99999' is not open"


async def test_7_2_takes_a_plain_file_and_11_1_does_not(access, named, tmp_path):
    path = tmp_path / "file"
    transport = FdTransport("file")
    for version in (NEW, OLD):
        now = access._replace(version=version)
        named["file"] = Fd(os.open(path, os.O_RDWR | os.O_CREAT))
        if version == NEW:
            assert refusal(transport.connect, now) == NO_FILE
            named["file"] = Fd(os.open(path, os.O_RDONLY))
            assert refusal(transport.listen, now) == NO_FILE
        else:
            await through(transport.connect(now), b"machine")
            named["file"] = Fd(os.open(path, os.O_RDONLY))
            assert await through(transport.listen(now)) == b"machine"


async def test_a_program_reads_or_writes_the_machine(access, tmp_path):
    path = tmp_path / "file"
    channel = await ExecTransport.of_shell(f"cat > {path}; echo heard").connect(access).channel()
    channel.send(b"machine")
    await channel.drain()
    channel.shut_down_writing()
    answer = asyncio.Event()
    channel.on_close = lambda _: answer.set()
    channel.on_data = lambda *_: None
    channel.start_reading()
    async with asyncio.timeout(5):
        await answer.wait()
    assert await through(ExecTransport(("/bin/cat", str(path))).listen(access)) == b"machine"


async def test_a_pipe_without_a_word_is_waited_for(access, named):
    """QEMU looks for input, and the mere end of a pipe is none; that of a socket is."""
    source, sink = map(Fd, os.pipe2(os.O_CLOEXEC))
    sink.close()
    here, there = socket.socketpair()
    there.close()
    named.update(pipe=source, socket=Fd(here.detach()))
    opening = FdTransport("pipe").listen(access)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await opening.channel()
    opening.close()
    async with asyncio.timeout(5):
        (await FdTransport("socket").listen(access).channel()).close()


async def test_what_nobody_waited_for_is_closed(access, tmp_path):
    for transport in (
        FileTransport(str(tmp_path / "file"), 0),
        ExecTransport.of_shell("exit"),
    ):
        opening = transport.connect(access)
        opening.close()
        opening.close()


def test_rdma_finds_no_hardware(access):
    transport = RdmaTransport(InetAddress("127.0.0.1", "1"))
    assert refusal(transport.connect, access) == "RDMA ERROR: could not create CM channel"
    assert refusal(transport.listen, access) == "RDMA ERROR: could not create rdma event channel"


@pytest.mark.parametrize(
    ("cid", "port", "words"),
    [
        ("x", "1", "Failed to parse cid 'x'"),
        ("-1", "1", "Failed to parse cid '-1'"),
        ("99999999999", "1", "Failed to parse cid '99999999999'"),
        ("1", "2:3", "Failed to parse port '2:3'"),
    ],
)
async def test_a_vsock_address_is_two_numbers(access, cid, port, words):
    transport = SocketTransport(VsockAddress(cid, port))
    assert refusal(transport.listen, access) == words
    with pytest.raises(QMPError) as error:  # not at once: it fails the migration
        await transport.connect(access).channel()
    assert str(error.value) == words


def _vsock_works() -> bool:
    try:
        with socket.socket(socket.AF_VSOCK) as listener, socket.socket(socket.AF_VSOCK) as other:
            listener.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
            listener.listen()
            other.settimeout(0.5)
            other.connect((1, listener.getsockname()[1]))
    except OSError:
        return False
    return True


async def test_vsock_carries_bytes(access):
    if not _vsock_works():
        pytest.skip("the kernel has no vsock loopback")
    listening = SocketTransport(VsockAddress(_ANY, _ANY)).listen(access)
    (bound,) = listening.bound
    assert bound["type"] == "vsock"
    opening = SocketTransport(VsockAddress("1", bound["port"])).connect(access)
    _, data = await asyncio.gather(through(opening, b"machine"), through(listening))
    assert data == b"machine"
