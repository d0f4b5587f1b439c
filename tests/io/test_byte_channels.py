"""Pipes, files and programs, behind the interface of a channel."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from qemu_sim.errors import QMPError, WireError
from qemu_sim.fds import Fd, open_descriptors
from qemu_sim.io import any_channel, program
from qemu_sim.io.channel import Channel
from qemu_sim.io.file import FileChannel
from qemu_sim.io.pipe import PipeChannel

BLOCK = os.urandom(3 << 20)


def pipe():
    return tuple(map(Fd, os.pipe2(os.O_CLOEXEC)))


@pytest.fixture
async def ends(listen):
    """The reading and the writing end of one pipe."""
    source, sink = pipe()
    reader, writer = PipeChannel(source, None), PipeChannel(None, sink)
    yield listen(reader), writer
    reader.close()
    writer.close()


async def test_a_pipe_carries_more_than_it_holds_and_then_its_end(ends):
    told, writer = ends
    told.channel.pause_reading()
    writer.send(b"first ")
    writer.send(memoryview(BLOCK))
    assert writer.queued_bytes > 0
    told.channel.start_reading()
    await writer.drain()
    assert writer.queued_bytes == 0
    writer.close()
    await told.until(lambda: told.closed)
    assert told.data == b"first " + BLOCK
    assert told.closed == [None]


async def test_a_reader_that_leaves_breaks_the_pipe(ends):
    told, writer = ends
    told.channel.close()
    writer.send(b"x")
    assert writer.broken
    with pytest.raises(BrokenPipeError):
        await writer.drain()
    assert told.closed == []


async def test_one_way_means_one_way(ends):
    told, writer = ends
    assert not told.channel.duplex
    with pytest.raises(WireError):
        told.channel.send(b"x")
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd, pytest.raises(WireError, match="descriptors"):
        writer.send(b"x", [fd])


async def test_half_open_goes_on_writing_when_its_input_ended(listen):
    told = listen(PipeChannel(*program.start(["/bin/sh", "-c", "exec >&-; cat >/dev/null"]), "x"))
    told.channel.half_open = True
    await told.until(lambda: told.closed)
    told.channel.send(BLOCK)
    await told.channel.drain()
    assert told.closed == [None]
    told.channel.close()


async def test_a_file_is_written_and_read_from_where_it_stands(tmp_path, listen):
    path = tmp_path / "file"
    path.write_bytes(b"head")
    writer = any_channel.writer_of(Fd(os.open(path, os.O_WRONLY | os.O_APPEND)))
    assert isinstance(writer, FileChannel)
    writer.send(b"more ")
    writer.send(BLOCK)
    await writer.drain()
    writer.close()
    fd = Fd(os.open(path, os.O_RDONLY))
    os.lseek(fd.fileno(), 2, os.SEEK_SET)
    told = listen(any_channel.reader_of(fd))
    await told.until(lambda: told.closed)
    assert told.data == b"admore " + BLOCK
    assert told.closed == [None]


async def test_the_loop_turns_while_a_file_blocks(tmp_path, listen):
    """A FIFO opened for both, and blocking, stands for a disk that takes its time."""
    os.mkfifo(tmp_path / "slow")
    slow = os.open(tmp_path / "slow", os.O_RDWR)
    told = listen(FileChannel(Fd(os.dup(slow)), None))
    for _ in range(10):
        await asyncio.sleep(0)  # would not return if the loop itself were reading
    assert told.data == b""
    os.write(slow, b"at last")
    await told.until(lambda: told.data)
    told.channel.close()
    os.write(slow, b"for the read under way")
    os.close(slow)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert told.data == b"at last"


async def test_a_full_disk_breaks_a_file():
    writer = any_channel.writer_of(Fd(os.open("/dev/full", os.O_WRONLY)))
    assert isinstance(writer, FileChannel)
    writer.send(b"x")
    with pytest.raises(OSError, match="No space left"):
        await writer.drain()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("pipe", PipeChannel), ("file", FileChannel), ("null", FileChannel), ("socket", Channel)],
)
async def test_the_channel_fits_the_descriptor(kind, expected, tmp_path):
    import socket

    source, sink = pipe()
    here, there = socket.socketpair()
    fd = {
        "pipe": source,
        "file": Fd(os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)),
        "null": Fd(os.open(os.devnull, os.O_RDWR)),
        "socket": Fd(here.detach()),
    }
    for name, each in fd.items():
        if name == kind:
            channel = any_channel.reader_of(each)
            assert isinstance(channel, expected)
            channel.close()
        else:
            each.close()
    sink.close()
    there.close()


async def test_a_program_is_talked_to_and_waited_for(listen):
    before = open_descriptors()
    told = listen(PipeChannel(*program.start(["/bin/sh", "-c", "echo $$; cat; exit 3"]), "command"))
    assert told.channel.duplex
    told.channel.send(b"hello")
    await told.until(lambda: told.data.endswith(b"hello"))
    told.channel.shut_down_writing()
    await told.until(lambda: told.closed)
    pid = int(told.data.split()[0])
    assert open_descriptors() == before
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}"):  # a zombie still is
        assert time.monotonic() < deadline, "nobody waited for the program"
        await asyncio.sleep(0.005)


async def test_a_program_gets_no_other_descriptor(listen):
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd:
        os.set_inheritable(fd.fileno(), True)
        told = listen(PipeChannel(*program.start(["/bin/ls", "/proc/self/fd"]), "command"))
        await told.until(lambda: told.closed)
    assert told.data.split() == [b"0", b"1", b"2", b"3"]  # 3 is the directory itself


async def test_a_program_has_no_signal_blocked_or_ignored(listen):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        told = listen(PipeChannel(*program.start(["/bin/cat", "/proc/self/status"]), "command"))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    await told.until(lambda: told.closed)
    masks = dict(line.split(b":") for line in told.data.splitlines() if line.startswith(b"Sig"))
    assert int(masks[b"SigBlk"], 16) == 0
    assert not int(masks[b"SigIgn"], 16) & 1 << (signal.SIGPIPE - 1)


@pytest.mark.parametrize("path", ["/no/such", "cat"])
def test_a_program_is_a_path(path):
    with pytest.raises(QMPError) as error:
        program.start([path])
    assert str(error.value) == (
        f"Failed to execute child process “{path}” (No such file or directory)"
    )
