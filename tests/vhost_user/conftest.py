"""Disks that use vhost-user-blk servers, real and our own."""

from __future__ import annotations

import asyncio
import time

import pytest

from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.devices.vhost_user_blk_pci import VhostUserBlkPCI
from qemu_sim.testing.listening import is_listening
from qemu_sim.virtio.memory import GuestMemory


async def wait_until(condition, what: str) -> None:
    """Fail unless `condition()` becomes true within 10 s."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not reached: {what}"
        await asyncio.sleep(0.001)


class Parts:
    """What a device asks of its machine."""

    guest_addresses = (frozenset(), frozenset())

    def __init__(self, path: str, memory: GuestMemory | None = None) -> None:
        self.memory = memory or GuestMemory(64 << 20, shared=True)
        self._path = path
        self.chardev: ChardevSocket | None = None

    def claim_chardev(self, device_type: str, id: str) -> ChardevSocket:
        address = {"type": "unix", "data": {"path": self._path}}
        self.chardev = ChardevSocket(id, {"addr": address, "server": False})
        return self.chardev


@pytest.fixture
def reach():
    """Wait for a condition."""
    return wait_until


@pytest.fixture
def listening():
    """Whether a unix socket listens."""
    return is_listening


@pytest.fixture
def count():
    """Wait until a disk has finished so many requests more."""

    async def more(disk, number):
        goal = disk.report()["requests"] + number
        await wait_until(lambda: disk.report()["requests"] >= goal, f"{number} requests more")

    return more


@pytest.fixture
async def make_disk():
    """Make an unopened disk of a server path; everything is closed in the end."""
    made = []

    def make(path, memory=None, id="disk0", **properties):
        parts = Parts(path, memory)
        disk = VhostUserBlkPCI(
            id, f"/machine/peripheral/{id}", {"chardev": "c", **properties}, parts
        )
        made.append((disk, parts))
        return disk

    yield make
    for disk, parts in made:
        disk.close()
        parts.chardev.close()
        parts.memory.close()


@pytest.fixture
async def disk(server, make_disk):
    """A disk of two queues whose guest runs, idle."""
    made = make_disk(server.path, **{"num-queues": 2})
    await made.open()
    await made.restart()
    made.run()
    return made
