"""How much memory a stream can make a destination take: what it says is long need not be."""

from __future__ import annotations

import asyncio
import json
import socket
import tracemalloc

import pytest

from qemu_sim.wire import vmconfiguration, vmmessage, vmstream

BEGUN = vmstream.HEADER + vmstream.configuration("fake-1.0")
HUGE = b"\xff\xff\xff\xff"
PUMPED = 200 << 20  # bytes behind it
LIMIT = 64 << 20  # bytes: a state of 16 MiB as it arrives, as a whole, and as text
COMMAND = bytes([vmstream.COMMAND])
DEVICE = vmstream.section_start(
    vmstream.Section(vmstream.FULL, 9, "/machine/peripheral/nic0", 0, 1)
)
RAM = vmstream.section_start(vmstream.Section(vmstream.START, 2, "ram", 0, 4))
CAPABILITIES = vmstream.subsection(vmconfiguration.CAPABILITIES, 1, HUGE)

# What claims to be long, and what then comes for as long as anybody listens.
CLAIMS = {
    "machine type": (vmstream.HEADER + bytes([vmstream.CONFIGURATION]) + HUGE, b"x"),
    "capabilities": (BEGUN + CAPABILITIES, b"\0"),
    "state": (BEGUN + DEVICE + HUGE, b"["),
    "state that may be": (BEGUN + DEVICE + (16 << 20).to_bytes(4), b"["),
    "package": (BEGUN + COMMAND + vmmessage.frame(vmmessage.COMMAND_PACKAGED, HUGE), b"\x04"),
    "offer": (BEGUN + COMMAND + vmmessage.frame(vmmessage.COMMAND_OFFER, bytes(4)) + HUGE, b"{"),
    "blocks": (BEGUN + RAM + b"\x7f" + b"\xff" * 6 + b"\x04", b"\1a\0\0\0\0\0\0\0\1"),
    "description": (
        BEGUN + RAM + bytes(7) + b"\x10\x7e\0\0\0\2\0" + bytes([vmstream.VMDESCRIPTION]) + HUGE,
        b" ",
    ),
}


async def pump(path, begin, filler):
    """Send until the destination has had enough; return how much that was."""
    loop = asyncio.get_running_loop()
    block = filler * ((1 << 20) // len(filler))
    sent = 0
    with socket.socket(socket.AF_UNIX) as source:
        source.setblocking(False)
        await loop.sock_connect(source, path)
        try:
            await loop.sock_sendall(source, begin)
            while sent < PUMPED:
                await loop.sock_sendall(source, block)
                sent += len(block)
        except ConnectionError:
            pass
    return sent


@pytest.mark.parametrize("claim", CLAIMS)
async def test_a_length_allocates_nothing(make_pair, claim):
    pair = await make_pair(shared=False)
    pair.listen(exit_on_error=False)
    tracemalloc.start()
    try:
        async with asyncio.timeout(60):
            sent = await pump(pair.path, *CLAIMS[claim])
            assert await pair.destination.until("failed", "completed") == "failed"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LIMIT, sent
    assert (sent == PUMPED) == (claim == "description")  # that is read, and forgotten


async def test_a_state_that_is_long_is_read_all_the_same(make_pair):
    """More than is read ahead: whoever waits for it must not wait for ever."""
    pair = await make_pair({"nic0": 1}, shared=False)
    long = {"name": "nic0", "more": "x" * (5 << 20)}
    pair.source.devices[0].save = lambda: long
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("completed", "completed")
    assert json.dumps(pair.destination.devices[0].loaded) == json.dumps(long)
