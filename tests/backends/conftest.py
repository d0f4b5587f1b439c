"""What the tests of the backends share: an open TAP with a guest behind it, and pings."""

import asyncio
import json

import pytest

from qemu_sim.backends.netdev_tap import NetdevTap
from qemu_sim.guest.network import Network
from qemu_sim.guest.nic import NIC
from qemu_sim.testing import ping as pings

PLAIN = {"ifname": "tap0", "script": "no", "downscript": "no"}


@pytest.fixture
async def tap(netns, request):
    """A netdev on tap0, open; the host's end is 10.0.0.1 and fd00::1. A parameter adds options."""
    netdev = NetdevTap("net0", PLAIN | getattr(request, "param", {}))
    await netdev.open()
    netns.up("tap0", "10.0.0.1/24")
    if netns.has_ipv6():
        netns.up("tap0", "fd00::1/64")
    yield netdev
    netdev.close()


@pytest.fixture
def make_nic():
    """Put a guest behind a netdev."""
    return lambda netdev: NIC(netdev, Network(bytes.fromhex("525400123456")))


@pytest.fixture
def nic(tap, make_nic):
    return make_nic(tap)


@pytest.fixture
def run():
    """Run a program without blocking the loop; returns its status and output."""

    async def _run(*command):
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        return process.returncode, output.decode()

    return _run


@pytest.fixture
def ping(netns, run):
    """Ping by address, count, interval and size; returns what was counted."""

    async def _ping(*arguments):
        if ":" in arguments[0] and not netns.has_ipv6():
            pytest.skip("the kernel has no IPv6")
        status, output = await run(*pings.command(*arguments))
        assert status == 0
        return json.loads(output)

    return _ping


@pytest.fixture
def until():
    """Wait for a condition that nothing announces."""

    async def _until(condition):
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - the kernel's counters raise no event
                await asyncio.sleep(0.002)

    return _until
