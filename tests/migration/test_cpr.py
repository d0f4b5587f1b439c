"""Migration that leaves RAM where it is: the guest stops first, and no page travels."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.migration import cpr
from qemu_sim.migration.cpr_transport import CprTransport
from qemu_sim.virtio.memory import GuestMemory
from qemu_sim.virtio.memory_file import Asked, open_memory_file

RAN = ["setup", "STOP", "active", "pass 2", "device", "completed"]


@pytest.fixture
async def pair(make_pair):
    return await make_pair()


@pytest.fixture
def ahead(tmp_path):
    """A destination's channel `cpr`, before anybody has connected."""
    path = str(tmp_path / "cpr")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(5)
        yield path, listener


def unix(path):
    return {"transport": "socket", "type": "unix", "path": path}


def two_channels(pair, path):
    pair.source.parameters.set({"mode": "cpr-transfer"})
    pair.transport = CprTransport(pair.transport, unix(path), pair.source.memory)


async def test_reboot_stops_the_guest_before_ram_is_copied(pair):
    pair.source.parameters.set({"mode": "cpr-reboot"})
    pair.source.memory.write(5000, b"kept")
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("completed", "completed")
    assert pair.source.log == RAN
    assert pair.destination.memory.read(5000, 4) == b"kept"
    ram = pair.source.migration.query()["ram"]
    assert ram["precopy-bytes"] == 0 < ram["downtime-bytes"]


async def test_transfer_sends_the_descriptor_ahead_and_no_page(pair, ahead):
    path, listener = ahead
    two_channels(pair, path)
    pair.source.memory.write(5000, b"kept")
    pair.listen()
    pair.migrate(hand_over=False)
    sock, _ = listener.accept()
    with sock:
        _, fds, _, _ = socket.recv_fds(sock, 4096, 4)
        assert [os.fstat(fd).st_ino for fd in fds] == [
            os.fstat(pair.source.memory.fd.fileno()).st_ino
        ]
        for fd in fds:
            os.close(fd)
        await asyncio.sleep(0.05)  # it waits, however long it takes
        assert pair.source.log == ["setup"]
        pair.source.parameters.set({"mode": "normal"})  # the next one's
        assert pair.source.state_name == "running"
    assert await pair.ended() == ("completed", "completed")
    assert pair.source.log == RAN
    assert pair.destination.memory.read(5000, 4) == bytes(4)


@pytest.mark.parametrize(
    ("version", "is_file", "stays"),
    [((11, 1, 3), True, True), ((11, 1, 3), False, False), ((7, 2, 22), False, True)],
)
async def test_shared_ram_is_left_to_who_can_open_it(pair, tmp_path, version, is_file, stays):
    if is_file:
        for side in (pair.source, pair.destination):
            side.memory.close()
            file = open_memory_file(Asked(f"{tmp_path}/ram", 1 << 20, "pc.ram", shared=True))
            side.memory = GuestMemory(1 << 20, shared=True, origin=file)
    for side in (pair.source, pair.destination):
        side.capabilities.names.add("x-ignore-shared")
        side.version = version
    pair.source.memory.write(5000, b"kept")
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("completed", "completed")
    total = pair.source.migration.query()["ram"]["total"]
    assert total == (0 if stays else 1 << 20)
    has_it = is_file or not stays
    assert pair.destination.memory.read(5000, 4) == (b"kept" if has_it else bytes(4))


async def test_a_destination_that_leaves_without_listening(pair, ahead):
    path, listener = ahead
    two_channels(pair, path)
    pair.migrate(hand_over=False)
    listener.accept()[0].close()
    assert await pair.source.until("failed") == "failed"
    assert pair.source.log == ["setup", "failing", "failed"]
    assert pair.source.migration.query()["error-desc"].startswith("Failed to connect to")


async def test_cancelled_while_the_destination_is_made(pair, ahead):
    two_channels(pair, ahead[0])
    pair.migrate(hand_over=False)
    await asyncio.sleep(0)
    pair.source.migration.cancel()
    assert await pair.source.until("cancelled") == "cancelled"
    assert pair.source.log == ["setup", "cancelling", "cancelled"]


async def test_what_fails_behind_the_stop_starts_the_guest_again(pair):
    async def busy():
        raise QMPError("the device is busy")

    pair.source.parameters.set({"mode": "cpr-reboot"})
    pair.source.capabilities.names.add("return-path")
    pair.destination.devices[0].open = busy
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("failed", "failed")
    assert pair.source.log[:2] == ["setup", "STOP"]
    assert pair.source.log[-2:] == ["resume running", "failed"]


@pytest.mark.parametrize("run_state", ["running", "paused"])
async def test_without_a_next_program_a_guest_that_ran_goes_on(pair, run_state):
    pair.source.parameters.set({"mode": "cpr-exec", "cpr-exec-command": ["/no/such", "-x"]})
    pair.source.state_name = run_state
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.source.until("failed") == "failed"
    back = ["resume running"] if run_state == "running" else []
    assert pair.source.log[-len(back) - 3 :] == [
        "completed",
        "exec ['/no/such', '-x']",
        "failed",
        *back,
    ]
    words = "execvp /no/such failed: No such file or directory"
    assert pair.source.migration.query()["error-desc"] == words


@pytest.mark.parametrize("type_", ["inet", "fd"])
def test_only_a_path_will_do(pair, type_):
    transport = CprTransport(pair.transport, {**unix("x"), "type": type_}, pair.source.memory)
    with pytest.raises(QMPError, match=r"^bad cpr channel address; must be unix$"):
        transport.connect(pair.access)


def test_the_second_channel_must_be_there():
    for channels in (None, [], [{"channel-type": "main", "addr": {}}]):
        with pytest.raises(QMPError, match=r"^missing 'cpr' migration channel$"):
            cpr.channel_of(channels)
