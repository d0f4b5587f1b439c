"""A simulated guest's disk on real servers."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from qemu_sim.devices.vhost_user_blk_pci import VhostUserBlkPCI
from qemu_sim.errors import QMPError
from qemu_sim.fds import open_descriptors
from qemu_sim.guest.block_ledger import BLOCK, BlockLedger
from qemu_sim.virtio.memory import GuestMemory


async def test_capacity_and_idle(disk):
    assert disk.capacity == 64 << 20
    assert disk.report() == dict.fromkeys(
        ["requests", "errors", "inflight", "frames-in", "frames-out", "largest-gap-us"], 0
    )


async def test_reads_and_writes_are_verified(disk, server, count, reach):
    disk.start_load(32, write=False)
    await count(disk, 500)
    disk.start_load(32, write=True)
    await count(disk, 2000)
    assert disk.report()["inflight"] == 32
    assert disk.report()["largest-gap-us"] > 0
    disk.stop_load()
    await reach(lambda: disk.report()["inflight"] == 0, "nothing under way")
    assert disk.report()["errors"] == 0
    assert server.read_image(1000 * BLOCK, BLOCK).startswith(b"disk0\0")


async def test_a_changed_block_is_found(disk, server, count, reach):
    disk.start_load(1, write=True)
    await count(disk, 100)
    disk.stop_load()
    await reach(lambda: disk.report()["inflight"] == 0, "nothing under way")
    assert disk.report()["errors"] == 0
    for block in range(100):
        server.write_image(block * BLOCK + 100, b"!")
    disk.start_load(1, write=False)
    await reach(lambda: disk.report()["errors"] > 0, "an error")


async def test_a_stopped_guest_leaves_completions_unread(disk, count):
    disk.start_load(16, write=True)
    await count(disk, 100)
    disk.halt()
    await asyncio.wait_for(disk._disk.settle(), 10)
    before = disk.report()
    assert before["inflight"] == 16
    await asyncio.sleep(0.02)
    assert disk.report() == before
    disk.run()
    await count(disk, 100)
    assert disk.report()["errors"] == 0


async def test_drain_and_restart(disk, count):
    disk.start_load(16, write=True)
    for _ in range(3):
        await count(disk, 100)
        disk.halt()
        await disk.drain()
        await disk.restart()
        disk.run()
    assert disk.report()["errors"] == 0


async def test_a_queue_that_is_too_short(disk):
    with pytest.raises(QMPError, match="Parameter 'queue-depth' expects a value between 1 and 84"):
        disk.start_load(85, write=True)


async def test_the_reference_counts_of_descriptors(server, make_disk, count, reach):
    before = len(open_descriptors())
    for _ in range(5):
        disk = make_disk(server.path)
        await disk.open()
        await disk.restart()
        disk.run()
        disk.start_load(4, write=False)
        await count(disk, 10)
        disk.stop_load()
        # QEMU 7.2's server dies of a new client while it has requests of the last one.
        await reach(lambda disk=disk: disk.report()["inflight"] == 0, "nothing under way")
        disk.close()
        disk._memory.close()
    assert len(open_descriptors()) == before


async def test_reopened_with_ram_copied(server, make_disk, count):
    """A migration without hand-over: RAM is copied, the server is told anew."""
    source = make_disk(server.path)
    await source.open()
    await source.restart()
    source.run()
    source.start_load(8, write=True)
    await count(source, 200)
    source.halt()
    await source.drain()
    target = make_disk(server.path)
    for offset, length in source._memory.extents():
        target._memory.write(offset, source._memory.read(offset, length))
    state = source.save()
    source.close()
    await target.open()
    target.load(state)
    target.run()
    await count(target, 200)
    assert target.report()["errors"] == 0


async def test_private_ram_is_refused(make_disk, tmp_path):
    memory = GuestMemory(1 << 20, shared=False)
    disk = make_disk(str(tmp_path / "nobody"), memory)
    with pytest.raises(QMPError, match="consider using -object memory-backend-file share=on"):
        await disk.open()
    assert disk.backend.transfer_blocker() == "guest RAM is not shared"


async def test_nobody_listens(make_disk, tmp_path):
    path = str(tmp_path / "nobody")
    with pytest.raises(QMPError, match=f"Failed to connect to '{path}': No such file"):
        await make_disk(path).open()


@pytest.mark.parametrize("server", ["qemu-storage-daemon"], indirect=True)
async def test_a_server_with_another_client(make_disk, disk, server, monkeypatch):
    monkeypatch.setattr("qemu_sim.backends.vhost_connection.ANSWER_TIMEOUT", 0.05)
    second = make_disk(server.path, id="disk1")
    with pytest.raises(
        QMPError, match=f"disk1: vhost-user server at unix:{server.path}: no answer"
    ):
        await second.open()


async def test_too_many_queues(make_disk, server):
    disk = make_disk(server.path, **{"num-queues": 17})
    with pytest.raises(QMPError, match="maximum number of queues supported by the backend is"):
        await disk.open()


async def test_a_killed_server(disk, server, caplog, count, reach):
    disk.start_load(8, write=False)
    await count(disk, 10)
    server.kill()
    await reach(lambda: disk.backend.failure is not None, "the loss is known")
    assert server.path in caplog.text
    assert "the connection is lost" in disk.backend.transfer_blocker()
    disk.halt()
    await disk.drain()


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"num-queues": 0}, "invalid number of IO queues"),
        ({"queue-size": 0}, "queue size must be non-zero"),
        ({"queue-size": 2048}, "queue size must not exceed 1024"),
    ],
)
async def test_bad_properties(make_disk, properties, words):
    with pytest.raises(QMPError, match=words):
        make_disk("/nowhere", **properties)


def test_ledger_knows_foreign_blocks():
    memory = GuestMemory(1 << 20, shared=False)
    ledger = BlockLedger.create("disk0", memory, 16)
    found = os.urandom(BLOCK)
    assert ledger.check(3, found) is None
    assert ledger.check(3, found) is None
    assert "has changed though nobody wrote" in ledger.check(3, bytes(BLOCK))
    ledger.wrote(3, 7)
    assert ledger.check(3, ledger.content(3, 7)) is None
    assert "not what was written as number 7" in ledger.check(3, ledger.content(3, 6))
    assert "not what was written" in ledger.check(3, ledger.content(4, 7))
    memory.close()


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_a_server_that_does_not_finish(disk, server, count, reach, monkeypatch):
    monkeypatch.setattr("qemu_sim.devices.vhost_user_blk_pci._DRAIN_TIMEOUT", 0.05)
    disk.start_load(8, write=False)
    await count(disk, 10)
    server.process.send_signal(signal.SIGSTOP)
    driver = disk._disk._driver
    # Seldom 8: it may be stopped when it has answered one, and not said so.
    await reach(lambda: driver.unanswered(0) + driver.unanswered(1) > 0, "some wait for it")
    disk.halt()
    with pytest.raises(QMPError, match=r"'disk0': the server has not finished its requests within"):
        await disk.drain()
    server.process.send_signal(signal.SIGCONT)
    await disk.drain()
    assert not disk.backend.state.started


async def test_a_server_that_leaves_before_the_guest_starts(make_disk, server, caplog, reach):
    disk = make_disk(server.path)
    await disk.open()
    server.kill()
    disk.run()
    await reach(lambda: not disk._starting.under_way, "the start was tried")
    assert f"disk0: vhost-user server at unix:{server.path}" in caplog.text
    assert disk.backend.failure is not None
    disk.halt()
    await disk.drain()
    await disk.restart()
    assert not disk.backend.state.started


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_a_chardev_serves_one_disk_after_the_other(disk, server, count):
    """Unplugged and plugged again, the disk has a new connection of the same chardev."""
    chardev = disk.backend._chardev
    disk.close()
    assert not chardev.is_open
    again = VhostUserBlkPCI("disk0", disk.path, disk.properties, OneChardev(disk, chardev))
    await again.open()
    again.run()
    again.start_load(4, write=False)
    await count(again, 10)
    again.close()
    events = [entry["event"] for entry in server.log() if entry["event"] != "message"]
    assert events.count("connect") == 2


class OneChardev:
    """The parts of a machine that has the given chardev."""

    def __init__(self, disk, chardev):
        self.memory = disk._memory
        self._chardev = chardev

    def claim_chardev(self, device_type, id):
        assert (device_type, id) == ("vhost-user-blk", "c")
        return self._chardev
