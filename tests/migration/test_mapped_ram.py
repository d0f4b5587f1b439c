"""Pages that have their places in a file: what lies where, and what of it is found again."""

from __future__ import annotations

import os

import pytest

from qemu_sim.migration.transports.file import FileTransport
from qemu_sim.wire import vmfile, vmram
from qemu_sim.wire.vmram import PAGE

SIZE = 4 << 20
OFFSET = 12345


@pytest.fixture
async def pair(make_pair, tmp_path):
    made = await make_pair({"nic0": 1}, shared=False, size=SIZE)
    for side in (made.source, made.destination):
        side.capabilities.names |= {"mapped-ram"}
    made.file = tmp_path / "file"
    made.transport = FileTransport(str(made.file), OFFSET)
    return made


def fill(memory):
    """Write to some pages, and leave holes, and pages of zeroes that are there."""
    for number in (0, 1, 2, 5, *range(300, 900, 3), SIZE // PAGE - 1):
        memory.write(number * PAGE + 17, b"page %d" % number)
    memory.write(3 * PAGE, bytes(PAGE))


def contents(memory):
    return os.pread(memory.fd.fileno(), memory.size, 0)


async def save(pair):
    pair.migrate(hand_over=False)
    assert await pair.source.until("completed", "failed") == "completed"


async def load(pair):
    pair.listen(exit_on_error=False)
    return await pair.destination.until("completed", "failed")


def head(pair):
    """Return where the file says that bitmap and pages are."""
    data = pair.file.read_bytes()
    at = data.index(b"pc.ram") + len("pc.ram") + 8
    version, page = data[at : at + 4], data[at + 4 : at + 12]
    assert (int.from_bytes(version), int.from_bytes(page)) == (1, PAGE)
    return tuple(int.from_bytes(data[at + skip : at + skip + 8]) for skip in (12, 20))


async def test_what_is_saved_is_loaded(pair):
    fill(pair.source.memory)
    await save(pair)
    assert await load(pair) == "completed"
    assert contents(pair.destination.memory) == contents(pair.source.memory)
    assert pair.destination.log[-2:] == ["continue running", "completed"]


async def test_each_page_has_its_place(pair):
    fill(pair.source.memory)
    await save(pair)
    bitmap, pages = head(pair)
    assert pages % (1 << 20) == 0
    data = pair.file.read_bytes()
    assert data[:OFFSET] == bytes(OFFSET)
    assert data[pages : pages + SIZE] == contents(pair.source.memory)
    bits = int.from_bytes(data[bitmap : bitmap + vmram.bitmap_size(SIZE)], "little")
    there = {number for number in range(SIZE // PAGE) if bits >> number & 1}
    assert there == {0, 1, 2, 5, *range(300, 900, 3), SIZE // PAGE - 1}
    assert pair.file.stat().st_blocks * 512 < SIZE


async def test_it_is_read_as_qemus_is(pair):
    pair.transport = FileTransport(str(pair.file), 0)
    fill(pair.source.memory)
    await save(pair)
    items = [item for _, item in vmfile.read(pair.file.read_bytes())]
    parts = [item.part for item in items if isinstance(item, vmfile.RamPart)]
    assert parts[0].blocks == {"pc.ram": SIZE}
    assert sum(part.pages["pc.ram", "pages"] for part in parts) == 4 + 200 + 1


async def test_a_page_that_has_become_zero_is_forgotten(pair):
    memory = pair.source.memory
    at = memory.allocate(2 * PAGE, PAGE)
    memory.write(at, b"x" * 2 * PAGE)
    pair.source.hooks.hold("before-stop")
    pair.migrate(hand_over=False)
    await pair.source.held.get()
    memory.write(at, bytes(PAGE))
    pair.source.hooks.release()
    assert await pair.source.until("completed", "failed") == "completed"
    assert await load(pair) == "completed"
    assert contents(pair.destination.memory) == contents(memory)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda bitmap, pages: (pages + SIZE // 2, None), "failed to read page"),
        (lambda bitmap, pages: (bitmap + 5, None), "Error reading dirty bitmap"),
        (lambda bitmap, pages: (bitmap - 1, 1), "region has bad alignment"),
        (lambda bitmap, pages: (bitmap - 25, 2), "mapped RAM of version 2"),
    ],
    ids=["page", "bitmap", "alignment", "version"],
)
async def test_a_file_that_is_not_whole(pair, spoil, text):
    fill(pair.source.memory)
    await save(pair)
    at, byte = spoil(*head(pair))
    with pair.file.open("r+b") as file:
        if byte is None:
            file.truncate(at)
        else:
            file.seek(at)
            file.write(bytes([byte]))
    assert await load(pair) == "failed"
    assert text in pair.destination.migration.query()["error-desc"]


async def test_what_is_no_file_has_no_places(pair, make_pair):
    other = await make_pair({}, shared=False)
    for side in (other.source, other.destination):
        side.capabilities.names.add("mapped-ram")
    other.listen(exit_on_error=False)
    other.migrate(hand_over=False)
    assert await other.ended() == ("failed", "failed")
    assert "takes a file that has places" in other.source.migration.query()["error-desc"]
