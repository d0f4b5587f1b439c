"""Disks that use vhost-user-blk servers, real and our own; a switch with one port for NICs."""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest

from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.devices.vhost_user_blk_pci import VhostUserBlkPCI
from qemu_sim.fds import Fd
from qemu_sim.testing.listening import is_listening
from qemu_sim.vhost_user_blk.server import Server
from qemu_sim.virtio.memory import GuestMemory

HEADER = bytes(12)  # struct virtio_net_hdr_v1


class Port:
    """A switch port: keeps what the NIC sends, delivers what the test gives it."""

    features = 1 << 32 | 1 << 22
    queues = 4
    config = b""

    def __init__(self):
        self.sent = []
        self.vrings = ()

    def kicked(self, index, vrings):
        self.vrings = vrings
        if index % 2 == 0:
            return
        vring = vrings[index]
        while (chain := vring.pop()) is not None:
            packet = b"".join(bytes(vring.regions.view(*part)) for part in chain.readable)
            assert packet.startswith(HEADER)
            self.sent.append((index // 2, packet[len(HEADER) :]))
            vring.push(chain, 0)
        vring.call()

    def deliver(self, pair, frame):
        vring = self.vrings[2 * pair]
        chain = vring.pop()
        packet = HEADER + frame
        vring.regions.view(chain.writable[0][0], len(packet))[:] = packet
        vring.push(chain, len(packet))
        vring.call()


class Switch:
    """A listening server with one port, and its log."""

    def __init__(self, path):
        self.path = str(path / "switch.sock")
        self._log_path = str(path / "log")
        self._log = Fd(os.open(self._log_path, os.O_RDWR | os.O_CREAT))
        self.port = Port()
        self.server = Server(self.path, self.port, self._log)

    def log(self):
        with open(self._log_path) as lines:
            return [json.loads(line)["event"] for line in lines]

    def close(self):
        self.server.close()
        self._log.close()


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


@pytest.fixture
async def switch(tmp_path):
    made = Switch(tmp_path)
    yield made
    made.close()
