"""vhost-user-blk servers, real and our own, and disks that use them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.devices.vhost_user_blk_pci import VhostUserBlkPCI
from qemu_sim.testing.listening import is_listening
from qemu_sim.virtio.memory import GuestMemory

_EMBEDDED = (
    "import sys; from qemu_sim.vhost_user_blk.program import main; sys.exit(main(sys.argv[1:]))"
)
IMAGE_SIZE = 64 << 20
# Children find the package as this process does, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


async def wait_until(condition, what: str) -> None:
    """Fail unless `condition()` becomes true within 10 s."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not reached: {what}"
        await asyncio.sleep(0.001)


class ServerProcess:
    """A running server. `messages()` is what our own has logged, None for others."""

    def __init__(self, kind: str, directory: str) -> None:
        self.kind = kind
        self.path = os.path.join(directory, "server.sock")
        self.image = os.path.join(directory, "image")
        self.log_path = os.path.join(directory, "log")
        with open(self.image, "wb") as image:
            image.truncate(IMAGE_SIZE)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command(), env=ENVIRONMENT)
        deadline = time.monotonic() + 10
        while not is_listening(self.path):
            assert self.process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def read_image(self, offset: int, length: int) -> bytes:
        with open(self.image, "rb") as image:
            image.seek(offset)
            return image.read(length)

    def write_image(self, offset: int, data: bytes) -> None:
        with open(self.image, "r+b") as image:
            image.seek(offset)
            image.write(data)

    def log(self) -> list[dict]:
        with open(self.log_path) as lines:
            return [json.loads(line) for line in lines]

    def _command(self) -> list[str]:
        if self.kind == "embedded":
            ours = [sys.executable, "-c", _EMBEDDED]
            return [*ours, "--socket", self.path, "--image", self.image, "--log", self.log_path]
        export = "type=vhost-user-blk,id=disk,node-name=image,writable=on,num-queues=4"
        return [
            "qemu-storage-daemon",
            f"--blockdev=driver=file,node-name=image,filename={self.image}",
            f"--export={export},addr.type=unix,addr.path={self.path}",
        ]


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


@pytest.fixture(params=["embedded", "qemu-storage-daemon"])
def server(request, tmp_path):
    if request.param != "embedded" and shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    running = ServerProcess(request.param, str(tmp_path))
    yield running
    running.kill()


@pytest.fixture
def environment():
    """The environment for processes that import the package."""
    return ENVIRONMENT


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
