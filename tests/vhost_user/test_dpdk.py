"""Netdev vhost-user against DPDK's software switch, which polls the rings all the time."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest

from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.backends.netdev_vhost_user import NetdevVhostUser
from qemu_sim.virtio.memory import GuestMemory

TESTPMD = os.environ.get("TESTPMD", "dpdk-testpmd")
NIC, PEER = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"


@pytest.fixture
async def path(tmp_path, listening, reach):
    """The socket of a testpmd that sends each frame back, its two addresses swapped."""
    if shutil.which(TESTPMD) is None:
        pytest.skip(f"{TESTPMD} is not installed")
    where = str(tmp_path / "port.sock")
    drivers = ["-d", "librte_net_vhost.so.23", "-d", "librte_mempool_ring.so.23"]
    eal = ["--no-huge", "-m", "512", "--no-pci", "-l", "0,1", f"--file-prefix={os.getpid()}"]
    port = ["--vdev", f"net_vhost0,iface={where},queues=1"]
    forward = ["--forward-mode=macswap", "--auto-start", "--no-lsc-interrupt"]
    arguments = [*eal, *drivers, *port, "--", *forward, "--total-num-mbufs=4096"]
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    pipes = {"stdin": pipe, "stdout": nowhere, "stderr": nowhere}
    process = await asyncio.create_subprocess_exec(TESTPMD, *arguments, **pipes)
    await reach(lambda: listening(where) or process.returncode is not None, "a socket")
    if process.returncode is not None:
        pytest.skip(f"testpmd does not start here: it ended with {process.returncode}")
    yield where
    process.terminate()
    await process.wait()


def ours(frames):
    """Leave the probes out."""
    return [frame for frame in frames if frame[12:14] == b"\x88\xb5"]


async def test_each_frame_comes_back(path, reach):
    memory = GuestMemory(64 << 20, shared=True)
    address = {"type": "unix", "data": {"path": path}}
    chardev = ChardevSocket("c0", {"addr": address, "server": False})
    netdev = NetdevVhostUser("n0", {"chardev": "c0"})
    netdev.attach(chardev, memory)
    await netdev.open()
    await netdev.restart()
    got = []
    netdev.start(lambda _, frame: got.append(frame))
    # Until its port is up, testpmd takes frames and drops them.
    probe = PEER + NIC + b"\x88\xb6" + bytes(46)
    await reach(lambda: netdev.send(0, probe) and got, "the first frame")
    frames = [b"\x88\xb5" + number.to_bytes(2, "big") + bytes(44) for number in range(500)]
    for count, frame in enumerate(frames, 1):
        assert netdev.send(0, PEER + NIC + frame)
        await reach(lambda count=count: len(ours(got)) == count, f"{count} frames")
    assert ours(got) == [NIC + PEER + frame for frame in frames]
    netdev.close()
    chardev.close()
    memory.close()
