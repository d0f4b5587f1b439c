"""A migration without a hand-over is QEMU's: with a return path both know, without it mostly."""

from __future__ import annotations

import asyncio
import socket

import pytest

from qemu_sim import faults
from qemu_sim.errors import QMPError
from qemu_sim.wire import vmstream

BOTH = ["nic0", "nic1"]
BROKEN = "Unable to write to socket: Broken pipe"
WITH = pytest.mark.parametrize("return_path", [False, True])


@pytest.fixture
async def pair(make_pair):
    return await make_pair(shared=False)


def switch(pair, *names, return_path=True):
    """Switch capabilities on, on both sides."""
    for side in (pair.source, pair.destination):
        side.capabilities.names |= {*names, *(["return-path"] if return_path else [])}


@WITH
async def test_nothing_is_offered(pair, return_path):
    switch(pair, return_path=return_path)
    pair.source.memory.write(5000, b"kept")
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("completed", "completed")
    assert "backend-transfer" not in pair.source.migration.query()
    assert pair.destination.stayed == []
    assert pair.destination.memory.read(5000, 4) == b"kept"
    said = {what for _, what, _ in pair.source.traced} - {"section"}
    words = {"open-return-path", "ping", "pong", "shut"}
    assert said == (words if return_path else set())


@WITH
async def test_a_destination_that_cannot_open_fails_before_the_source_stops(pair, return_path):
    async def busy():
        raise QMPError("could not configure /dev/net/tun (tap0): Device or resource busy")

    switch(pair, return_path=return_path)
    pair.destination.devices[1].open = busy
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("failed", "failed")
    assert pair.source.serving == BOTH
    assert "STOP" not in pair.source.log
    assert pair.source.migration.query()["error-desc"] == BROKEN
    assert "Device 'nic1': could not" in pair.destination.migration.query()["error-desc"]


@WITH
@pytest.mark.parametrize("point", ["accepted", "device-loaded"])
async def test_a_source_hears_of_a_failure_and_goes_on(pair, point, return_path):
    switch(pair, return_path=return_path)
    pair.listen()
    faults.arm(pair.destination.hooks, "refuse", point, incoming=True)
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("failed", "failed")
    assert pair.source.serving == BOTH
    assert pair.destination.state_name == "inmigrate"


async def test_a_lost_last_word_leaves_the_source_stopped(pair):
    """The destination may have started: nobody can know, so nobody resumes by itself."""
    switch(pair)
    pair.listen()
    pair.destination.hooks.hold("device-loaded")
    pair.migrate(hand_over=False)
    await pair.destination.held.get()
    async with asyncio.timeout(5):
        while pair.source.migration._last._outgoing.end.may_go_back:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
    pair.destination.migration._last._incoming._stream._channel.close()
    assert await pair.source.until("failed") == "failed"
    assert pair.source.state_name == "postmigrate"
    assert "'cont' takes it back" in pair.source.migration.query()["error-desc"]
    pair.destination.hooks.release()
    assert await pair.source.migration.reclaim()


async def test_a_uuid_is_validated_if_that_is_wanted(pair, caplog):
    switch(pair, "validate-uuid", return_path=False)
    pair.source.uuid = "11111111-1111-1111-1111-111111111111"
    pair.destination.uuid = "22222222-2222-2222-2222-222222222222"
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("failed", "failed")
    text = (
        "UUID received is 11111111-1111-1111-1111-111111111111"
        " and local is 22222222-2222-2222-2222-222222222222"
    )
    assert text in caplog.messages
    assert "STOP" not in pair.source.log


@pytest.mark.parametrize("side", ["source", "destination"])
async def test_a_machine_without_a_uuid_fits_any(pair, side):
    switch(pair, "validate-uuid", return_path=False)
    getattr(pair, side).uuid = "11111111-1111-1111-1111-111111111111"
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("completed", "completed")


async def test_capabilities_that_must_agree(pair, caplog):
    pair.source.capabilities.names.add("x-ignore-shared")
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("failed", "failed")
    text = "Capability x-ignore-shared is off, but received capability is on"
    assert text in caplog.messages


async def test_a_client_lets_it_pass_the_switchover(pair):
    switch(pair, "pause-before-switchover")
    pair.listen()
    pair.migrate(hand_over=False)
    await pair.source.until("pre-switchover")
    assert pair.source.state_name == "finish-migrate"
    with pytest.raises(QMPError, match="Migration not in expected state: pre-switchover"):
        pair.source.migration.continue_from("device")
    pair.source.migration.continue_from("pre-switchover")
    assert await pair.ended() == ("completed", "completed")
    order = ["setup", "active", "pass 2", "STOP", "pre-switchover", "device", "completed"]
    assert pair.source.log == order


async def test_cancelled_before_the_switchover_it_goes_on(pair):
    switch(pair, "pause-before-switchover")
    pair.listen(exit_on_error=False)
    pair.migrate(hand_over=False)
    await pair.source.until("pre-switchover")
    pair.source.migration.cancel()
    assert await pair.source.until("cancelled") == "cancelled"
    assert pair.source.log[-3:] == ["cancelling", "resume running", "cancelled"]


async def test_a_machine_that_ends_is_not_held_on_its_way_out(pair):
    pair.source.hooks.hold("active")
    pair.source.hooks.hold("cancelling")
    pair.listen(exit_on_error=False)
    pair.migrate(hand_over=False)
    assert await pair.source.held.get() == "active"
    async with asyncio.timeout(5):
        await pair.source.migration.close()
    assert pair.source.migration.status.value == "cancelled"


async def test_whoever_reads_to_the_end_will_do(pair, tmp_path):
    """A plain listener gets QEMU's stream: no answer is needed, and nothing of ours is in it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(pair.path)
    listener.listen()
    listener.setblocking(False)
    pair.migrate(hand_over=False)
    loop = asyncio.get_running_loop()
    peer, _ = await loop.sock_accept(listener)
    got = b""
    while data := await loop.sock_recv(peer, 1 << 16):
        got += data
    assert await pair.source.until("completed", "failed") == "completed"
    assert got.startswith(vmstream.HEADER + vmstream.configuration("fake-1.0"))
    peer.close()
    listener.close()


async def test_steps_go_from_point_to_point(pair):
    pair.source.hooks.hold("before-stop")
    pair.listen()
    pair.migrate(hand_over=False)
    seen = [await pair.source.held.get()]
    while seen[-1] != "device-sent":
        pair.source.hooks.step()
        seen.append(await pair.source.held.get())
    assert seen == ["before-stop", "stopped", "device", "device-sent"]
    pair.source.hooks.release()
    assert await pair.ended() == ("completed", "completed")
