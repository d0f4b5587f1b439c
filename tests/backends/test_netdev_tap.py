"""Frames through a real TAP, and how it is opened, in a network namespace of the test's own."""

import asyncio
import os
import shutil
import signal
import socket

import pytest

from qemu_sim.backends.netdev_tap import NetdevTap
from qemu_sim.errors import MigrationError, QMPError
from qemu_sim.fds import Fd, open_descriptors
from qemu_sim.io import tun

TENTATIVE, DAD_FAILED = 0x40, 0x08
PLAIN = {"ifname": "tap0", "script": "no", "downscript": "no"}


@pytest.mark.parametrize("tap", [{}, {"queues": 4}, {"vnet_hdr": False}], indirect=True, ids=str)
@pytest.mark.parametrize(
    ("address", "size"), [("10.0.0.2", 56), ("10.0.0.77", 4001), ("fd00::2", 56), ("fd00::7", 4000)]
)
async def test_the_guest_answers_pings(tap, nic, address, size, ping):
    nic.start()
    report = await ping(address, 20, 0.002, size)
    assert (report["received"], report["duplicates"], report["spoilt"]) == (20, 0, 0)
    assert nic.errors == 0


async def test_the_ping_program_is_content(tap, nic, run):
    if shutil.which("ping") is None:
        pytest.skip("ping is not installed")
    nic.start()
    status, output = await run("ping", "-c5", "-i0.01", "-W2", "10.0.0.9")
    assert status == 0, output
    assert "5 received, 0% packet loss" in output


@pytest.mark.parametrize("tap", [{"queues": 4}], indirect=True)
@pytest.mark.parametrize("address", ["10.0.0.2", "fd00::2"])
async def test_udp_comes_back_complete_and_in_order(netns, tap, nic, address):
    if ":" in address and not netns.has_ipv6():
        pytest.skip("the kernel has no IPv6")
    nic.start()
    loop = asyncio.get_running_loop()
    with socket.socket(
        socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
    ) as sock:
        sock.setblocking(False)
        sock.connect((address, 4711))
        for number in range(200):
            await loop.sock_sendall(sock, number.to_bytes(4, "big") + bytes(number))
        async with asyncio.timeout(5):
            back = [await loop.sock_recv(sock, 2048) for _ in range(200)]
    assert back == [number.to_bytes(4, "big") + bytes(number) for number in range(200)]


async def test_a_large_datagram_comes_back(tap, nic):
    nic.start()
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("10.0.0.2", 9))
        payload = os.urandom(60000)
        await loop.sock_sendall(sock, payload)
        async with asyncio.timeout(5):
            assert await loop.sock_recv(sock, 65536) == payload


async def test_a_stopped_guest_reads_nothing_and_loses_nothing(netns, tap, nic, ping):
    loop = asyncio.get_running_loop()
    nic.start()
    assert (await ping("10.0.0.2", 1, 0, 56))["received"] == 1  # the kernel knows our MAC
    nic.stop()
    seen = nic.frames_in
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("10.0.0.2", 7))
        for number in range(100):
            sock.send(bytes([number]))  # it is in the TAP's queue when this returns
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(loop.sock_recv(sock, 16), 0.05)
        assert nic.frames_in == seen
        nic.start()
        async with asyncio.timeout(5):
            assert [await loop.sock_recv(sock, 16) for _ in range(100)] == [
                bytes([n]) for n in range(100)
            ]


async def test_a_deleted_interface_is_noticed_and_blocks_a_hand_over(tap, nic, caplog, run, until):
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is not installed")
    nic.start()
    await run("ip", "link", "del", "tap0")
    await until(lambda: tap.transfer_blocker() is not None)
    assert tap.transfer_blocker() == "TAP tap0 cannot be read: File descriptor in bad state"
    with pytest.raises(MigrationError, match="cannot be read"):
        tap.quiesce()


async def test_the_hosts_duplicate_address_detection_succeeds(netns, tap, nic, until):
    """A guest that answers for any address must not take the one that the host wants."""
    if not netns.has_ipv6():
        pytest.skip("the kernel has no IPv6")
    netns.detect_quickly("tap0")
    nic.start()
    netns.add_address("tap0", "fd00::abcd/64", detect=True)

    def flags():
        with open("/proc/net/if_inet6") as file:
            found = [line.split() for line in file if line.startswith("fd00") and "abcd" in line]
        return int(found[0][4], 16)

    assert flags() & TENTATIVE
    await until(lambda: not flags() & TENTATIVE)
    assert not flags() & DAD_FAILED
    assert nic.frames_in > 0


async def test_an_answer_into_an_interface_that_is_down_counts_as_error(netns, tap, nic):
    netns.down("tap0")
    header = "ffffffffffff 020000000001 0806 0001 0800 06 04 0001"
    request = bytes.fromhex(header + "020000000001 0a000001 000000000000 0a000002")
    nic.start()
    nic._receive(0, request)
    assert (nic.frames_out, nic.errors) == (0, 1)


# -- opening ---------------------------------------------------------------


async def test_names_and_busy_interfaces(netns):
    first, second = NetdevTap("a", {"script": "no", "downscript": "no"}), NetdevTap("b", PLAIN)
    await first.open()
    assert first.identity() == {"type": "tap", "ifname": "tap0", "queues": 1, "vnet-hdr": True}
    with pytest.raises(
        QMPError, match=r"^could not configure /dev/net/tun \(tap0\): Device or resource busy$"
    ):
        await second.open()
    assert not second.is_open
    first.close()
    await second.open()
    second.close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ifname": "lo"}, "could not configure /dev/net/tun (lo): Invalid argument"),
        ({"queues": 2000}, "could not configure /dev/net/tun (tap0): Argument list too long"),
        ({"script": "/bin/false"}, "network script /bin/false failed with status 256"),
        ({"script": "/nowhere"}, "network script /nowhere failed with status 256"),
    ],
    ids=str,
)
async def test_refusals_in_qemus_words(netns, options, text):
    before = open_descriptors()
    netdev = NetdevTap("net0", PLAIN | options)
    with pytest.raises(QMPError) as caught:
        await netdev.open()
    assert str(caught.value) == text
    assert open_descriptors() == before


async def test_scripts_get_the_name_and_run_at_both_ends(netns, tmp_path):
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\necho $(basename $0) $@ >> {tmp_path}/log\n")
    script.chmod(0o755)
    netdev = NetdevTap("net0", {"script": str(script), "downscript": str(script), "queues": 2})
    await netdev.open()
    netdev.close()
    netdev.close()
    assert (tmp_path / "log").read_text() == "script tap0\nscript tap0\n"


async def test_a_script_can_be_killed_whatever_signals_its_daemon_blocks(netns, tmp_path):
    script = tmp_path / "script"
    # The shell itself blocks everything for a moment when it forks, so it does not fork.
    script.write_text(f"#!/bin/sh\nexec grep SigBlk /proc/self/status > {tmp_path}/log\n")
    script.chmod(0o755)
    netdev = NetdevTap("net0", {"script": str(script), "downscript": "no"})
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    try:
        await netdev.open()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        netdev.close()

    assert int((tmp_path / "log").read_text().split()[1], 16) == 0


async def test_given_descriptors(netns):
    flags = tun.IFF_MULTI_QUEUE | tun.IFF_VNET_HDR
    queues = [tun.open_queue("mine", flags)[0] for _ in range(2)]
    netdev = NetdevTap("net0", {"fds": "5:6"}, queues)
    await netdev.open()
    assert netdev.identity() == {"type": "tap", "ifname": "mine", "queues": 2, "vnet-hdr": True}
    assert netdev.transfer_blocker() is None
    netdev.close()


async def test_given_descriptors_that_differ_in_their_header(netns):
    queues = [tun.open_queue("a", tun.IFF_VNET_HDR)[0], tun.open_queue("b", 0)[0]]
    netdev = NetdevTap("net0", {"fds": "5:6"}, queues)
    with pytest.raises(QMPError, match=r"^vnet_hdr not consistent across given tap fds$"):
        await netdev.open()
    netdev.close()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/dev/null", "Inappropriate ioctl for device"),
        ("/dev/net/tun", "File descriptor in bad state"),
    ],
)
async def test_a_given_descriptor_that_is_no_tap(netns, path, reason):
    fd = Fd(os.open(path, os.O_RDWR))
    netdev = NetdevTap("net0", {"fd": "5"}, [fd])
    with pytest.raises(QMPError) as caught:
        await netdev.open()
    assert str(caught.value) == f"Unable to query TUNGETIFF on FD {fd.fileno()}: {reason}"
    netdev.close()
    assert fd.closed


@pytest.mark.parametrize(
    ("options", "info"),
    [
        ({"ifname": "tap0", "script": "no"}, "ifname=tap0,script=no,downscript=/etc/qemu-ifdown"),
        ({"ifname": "tap0", "downscript": "no"}, "ifname=tap0,script=/etc/qemu-ifup,downscript=no"),
    ],
)
def test_what_info_network_shows(options, info):
    assert NetdevTap("n", options).info == info
