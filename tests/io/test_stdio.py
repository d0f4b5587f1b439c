"""Standard input and output as a channel, on pipes and on a file."""

import asyncio
import os

import pytest

from qemu_sim.errors import WireError
from qemu_sim.fds import Fd
from qemu_sim.io.stdio import StdioChannel


class Pipes:
    """A channel, and the other ends of its two pipes."""

    def __init__(self, source=None):
        reading, self.keyboard = map(Fd, os.pipe())
        self.screen, writing = map(Fd, os.pipe())
        if source is not None:
            reading.close()
        self.channel = StdioChannel(source or reading, writing)
        self.received = asyncio.Queue()
        self.channel.on_data = lambda data, _: self.received.put_nowait(data)

    def close(self):
        self.channel.close()
        self.keyboard.close()
        self.screen.close()


@pytest.fixture
async def pipes():
    pipes = Pipes()
    yield pipes
    pipes.close()


async def test_input_and_output(pipes):
    pipes.channel.start_reading()
    os.write(pipes.keyboard.fileno(), b"hello")
    assert await asyncio.wait_for(pipes.received.get(), 5) == b"hello"
    pipes.channel.send(b"world")
    assert os.read(pipes.screen.fileno(), 99) == b"world"


async def test_output_larger_than_the_pipe_does_not_block(pipes):
    data = os.urandom(1 << 20)
    pipes.channel.send(data)
    assert pipes.channel.queued_bytes > 0
    reading = asyncio.to_thread(lambda: read_exactly(pipes.screen.fileno(), len(data)))
    got, _ = await asyncio.gather(reading, pipes.channel.drain())
    assert got == data


def read_exactly(fd, size):
    data = b""
    while len(data) < size:
        data += os.read(fd, 1 << 16)
    return data


async def test_output_goes_on_after_the_end_of_input(pipes):
    pipes.channel.start_reading()
    pipes.keyboard.close()
    await asyncio.sleep(0)
    pipes.channel.send(b"still here")
    assert os.read(pipes.screen.fileno(), 99) == b"still here"


async def test_pause(pipes):
    pipes.channel.start_reading()
    pipes.channel.pause_reading()
    os.write(pipes.keyboard.fileno(), b"later")
    for _ in range(3):
        await asyncio.sleep(0)
    assert pipes.received.empty()
    pipes.channel.start_reading()
    assert await asyncio.wait_for(pipes.received.get(), 5) == b"later"


async def test_input_from_a_file(tmp_path):
    (tmp_path / "in").write_bytes(b"commands")
    pipes = Pipes(Fd(os.open(tmp_path / "in", os.O_RDONLY)))
    pipes.channel.start_reading()
    assert await asyncio.wait_for(pipes.received.get(), 5) == b"commands"
    pipes.close()


async def test_nobody_reads_any_more(pipes):
    pipes.screen.close()
    pipes.channel.send(b"lost")
    await asyncio.wait_for(pipes.channel.drain(), 5)


async def test_what_cannot_be_read_or_written_is_at_its_end(tmp_path):
    source, sink = Fd(os.open(tmp_path, os.O_RDONLY)), Fd(os.open("/dev/full", os.O_WRONLY))
    channel = StdioChannel(source, sink)
    channel.on_data = lambda data, fds: pytest.fail("there is nothing to read")
    channel.start_reading()
    channel.send(b"lost")
    await asyncio.wait_for(channel.drain(), 5)
    await asyncio.sleep(0)
    assert not channel.closed
    channel.close()


async def test_descriptors_cannot_travel(pipes):
    with Fd(os.open(os.devnull, os.O_RDONLY)) as fd, pytest.raises(WireError):
        pipes.channel.send(b"x", [fd])


async def test_the_open_files_stay_blocking(pipes):
    pipes.channel.start_reading()
    pipes.channel.send(b"x")
    assert os.get_blocking(pipes.channel._source.fileno())
    assert os.get_blocking(pipes.channel._sink.fileno())
