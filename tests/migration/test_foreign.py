"""Streams of real QEMUs into one of our machines: RAM is taken, devices are told and left."""

from __future__ import annotations

import asyncio
import socket

import pytest

from qemu_sim.wire import vmfile, vmmessage, vmstream
from qemu_sim.wire.vmdescription import Search

UUID = "5e9f6b0e-0a8c-4c5e-9d5c-3f3a1f0b7c11"  # tests/streams/__main__.py
NAMES = [
    f"{version}-{setting}"
    for version in ("7.2", "11.1")
    for setting in ("q35", "q35-stopped", "pc", "return-path", "postcopy")
]
PAGE = 4096


@pytest.fixture
async def feed(make_pair):
    """Send bytes to a machine like the one of the stream; returns it when it is done."""

    async def send(stream, pieces=1 << 16, *, like=None, keep_open=False, size=1 << 20):
        pair = await make_pair({}, shared=False, size=size)
        machine = pair.destination
        configuration = next(item for _, item in vmfile.read(like or stream))
        machine.machine_type = configuration.machine_type
        machine.uuid = UUID
        machine.capabilities.names |= {"validate-uuid"}
        pair.listen(exit_on_error=False)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as source:
            source.setblocking(False)
            await loop.sock_connect(source, pair.path)
            try:
                for at in range(0, len(stream), pieces):
                    await loop.sock_sendall(source, stream[at : at + pieces])
            except ConnectionError:
                assert await machine.until("failed") == "failed"
            if not keep_open:
                source.shutdown(socket.SHUT_WR)
            await machine.until("completed", "failed")
            machine.said = await read_to_end(loop, source)
        return machine

    return send


async def read_to_end(loop, sock):
    said = b""
    try:
        while data := await loop.sock_recv(sock, 1 << 16):
            said += data
    except ConnectionError:
        pass
    return said


def expected(stream):
    """Return devices and pages by block, as the reader of files sees them."""
    items = [item for _, item in vmfile.read(stream)]
    devices = [(each.section.name, each.size) for each in items if isinstance(each, vmfile.Device)]
    pages = {}
    for item in items:
        if isinstance(item, vmfile.RamPart):
            for (block, _), count in item.part.pages.items():
                pages[block] = pages.get(block, 0) + count
    return devices, pages


@pytest.mark.parametrize("name", NAMES)
async def test_a_real_stream_is_loaded(feed, golden_stream, name):
    stream = golden_stream(name)
    machine = await feed(stream)
    assert machine.migration.query().get("error-desc") is None
    assert machine.migration.status.value == "completed"
    state = "prelaunch" if name.endswith("-stopped") else "running"
    assert machine.log[-2:] == [f"continue {state}", "completed"]
    skipped = machine.migration.query()["x-sim-skipped"]
    devices, pages = expected(stream)
    assert devices.pop()[0] == "globalstate"
    assert [(each["name"], each["size"]) for each in skipped["sections"]] == devices
    pages.pop(machine.memory.name, None)
    assert {each["name"]: each["pages"] for each in skipped["blocks"]} == pages


@pytest.mark.parametrize("name", ["7.2-return-path", "11.1-return-path", "11.1-postcopy"])
async def test_a_source_with_a_return_path_is_answered(feed, golden_stream, name):
    machine = await feed(golden_stream(name), keep_open=True)
    pong = vmmessage.frame(vmmessage.RETURN_PONG, (1).to_bytes(4))
    assert machine.said == pong + vmmessage.frame(vmmessage.RETURN_SHUT, bytes(4))


async def test_pieces_of_any_size_will_do(feed, golden_stream):
    stream = golden_stream("7.2-pc")
    tail = Search().look(stream).offset - 3000
    machine = await feed(stream[:tail] + stream[tail:], pieces=997)
    assert machine.migration.status.value == "completed"


async def test_a_source_that_sends_devices_slowly_is_waited_for(feed, golden_stream):
    """All pieces come before the end of the stream, and nothing runs before the last."""
    stream = golden_stream("7.2-return-path")
    machine = await feed(stream, pieces=len(stream) - 1, keep_open=True)
    assert machine.migration.status.value == "completed"


@pytest.mark.parametrize("missing", [1, 100, 40_000, 60_000])
async def test_cut_off_it_fails(feed, golden_stream, missing):
    stream = golden_stream("7.2-pc")
    machine = await feed(stream[:-missing], like=stream)
    assert machine.migration.status.value == "failed"
    assert "continue running" not in machine.log


async def test_without_a_description_it_says_so(feed, golden_stream):
    stream = golden_stream("7.2-pc")
    end = Search().look(stream).offset + 1
    machine = await feed(stream[:end], like=stream)
    text = "the stream has no description of its devices (is suppress-vmdesc=on there?)"
    assert text in machine.migration.query()["error-desc"]


async def test_a_description_that_does_not_fit(feed, golden_stream, caplog):
    stream = golden_stream("7.2-pc")
    field = b'"name": "unused", "type": "unused_buffer", "size": 8'
    machine = await feed(stream.replace(field, field[:-1] + b"9", 1), like=stream)
    assert "Missing section footer for timer" in caplog.messages
    assert "Section footer error" in machine.migration.query()["error-desc"]


@pytest.mark.parametrize("name", ["7.2-shared", "11.1-shared"])
async def test_a_source_that_leaves_shared_memory_out(feed, golden_stream, name, caplog):
    await feed(golden_stream(name))
    assert "Capability x-ignore-shared is off, but received capability is on" in caplog.messages


async def test_another_size_of_ram(feed, golden_stream, caplog):
    machine = await feed(golden_stream("7.2-pc"), size=2 << 20)
    assert "Size mismatch: pc.ram: 0x100000 != 0x200000: Invalid argument" in caplog.messages
    assert machine.migration.query()["error-desc"] == (
        "load of migration failed: Invalid argument: error while loading state for instance 0x0 "
        "of device 'ram': Failed to load vmstate version_id: 4, ret: -22"
    )


async def test_a_device_before_the_end_of_ram(feed, golden_stream):
    """A source with virtio-mem has one, and nothing says how long it is."""
    stream = golden_stream("7.2-pc")
    placed = list(vmfile.read(stream))
    start = next(offset for offset, item in placed if isinstance(item, vmfile.RamPart))
    early = vmstream.section_start(vmstream.Section(vmstream.FULL, 9, "virtio-mem", 0, 1))
    machine = await feed(stream[:start] + early + stream[start:], like=stream)
    assert (
        "section 'virtio-mem' of another QEMU comes where"
        in machine.migration.query()["error-desc"]
    )


async def test_contents_of_ram(feed, golden_stream):
    """The reader of a file sees which pages are not zero; so must be the memory."""
    stream = bytearray(golden_stream("7.2-pc"))
    head = (5 * PAGE | 0x08 | 0x20).to_bytes(8)  # a page of the block before, as it is
    placed = list(vmfile.read(bytes(stream)))
    end = next(
        offset
        for offset, item in placed
        if isinstance(item, vmfile.RamPart) and item.kind == vmstream.END
    )
    named = (4 * PAGE | 0x08).to_bytes(8) + b"\x06pc.ram" + b"one." * 1024
    delta = bytes([1, 0, 5, 4, 3]) + b"two"
    more = named + head + b"page" * 1024 + (4 * PAGE | 0x40 | 0x20).to_bytes(8) + delta
    stream[end + 5 : end + 5] = more
    machine = await feed(bytes(stream))
    assert machine.migration.status.value == "completed"
    assert machine.memory.read(5 * PAGE, PAGE) == b"page" * 1024
    assert machine.memory.read(4 * PAGE, PAGE) == b"one.two." + b"one." * 1022
