"""The same bad TAP given to a real QEMU 7.2 and to ours: the same words."""

import os
import shutil
import subprocess

import pytest

from qemu_sim.backends.netdev_tap import NetdevTap
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd, close_all
from qemu_sim.io import tun

QEMU = "qemu-system-x86_64"
QUIET = {"script": "no", "downscript": "no"}
CASES = [
    QUIET | {"ifname": "lo"},
    QUIET | {"ifname": "busy"},
    QUIET | {"ifname": "one", "queues": 2},
    QUIET | {"ifname": "many"},
    QUIET | {"queues": 2000},
    {"script": "/bin/false", "downscript": "no"},
    {"script": "/nowhere", "downscript": "no", "ifname": "tap7"},
    {"vhostfds": "1:2", "script": "no"},
    {"helper": "/bin/false", "script": "no"},
    {"fd": "no-tap", "script": "no"},
    {"fd": "no-tap", "queues": 2},
    {"fd": "no-tap"},
    {"fd": "unattached"},
    {"fds": "no-tap:no-tap", "vhostfds": "1"},
    {"fds": "no-tap", "vhostfd": "1"},
    {"fds": "plain:with-header"},
    {"fds": "with-header:plain"},
]


@pytest.fixture
def real_qemu():
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed")
    version = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    if "version 7.2" not in version:
        pytest.skip(f"{QEMU} is not of version 7.2")

    def answer(options, fds):
        text = "".join(f",{name}={value}" for name, value in options.items())
        command = [
            QEMU,
            "-M",
            "none",
            "-nodefaults",
            "-display",
            "none",
            "-netdev",
            f"tap,id=net0{text}",
        ]
        numbers = [fd.fileno() for fd in fds]
        done = subprocess.run(
            command,
            pass_fds=numbers,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        return done.stderr.strip().rpartition(f"net0{text}: ")[2]

    return answer


@pytest.fixture
def named_fds(netns):
    """Descriptors, and interfaces called one, many and busy."""
    with_header, _ = tun.open_queue("header", tun.IFF_VNET_HDR)
    fds = {
        "no-tap": Fd(os.open("/dev/null", os.O_RDWR)),
        "unattached": Fd(os.open(tun.PATH, os.O_RDWR)),
        "plain": tun.open_queue("plain", 0)[0],
        "with-header": with_header,
        "busy": tun.open_queue("busy", 0)[0],
        "one": tun.open_queue("one", 0)[0],
        "many": tun.open_queue("many", tun.IFF_MULTI_QUEUE)[0],
    }
    yield fds
    close_all(fds.values())


@pytest.mark.parametrize("options", CASES, ids=str)
async def test_both_use_the_same_words(real_qemu, named_fds, options):
    chosen = options.get("fd") or options.get("fds") or ""
    fds = [named_fds[name] for name in chosen.split(":") if name]
    numbers = ":".join(str(fd.fileno()) for fd in fds)
    given = options | {key: numbers for key in ("fd", "fds") if key in options}
    expected = real_qemu(given, fds)

    with pytest.raises(QMPError) as caught:
        await open_ours(given, fds)
    assert str(caught.value) == expected


async def open_ours(options, fds):
    """Open with the very numbers that QEMU had; the netdev owns what it is given."""
    netdev = NetdevTap("net0", options, fds)
    try:
        await netdev.open()
    finally:
        netdev.close()
