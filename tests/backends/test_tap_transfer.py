"""A TAP's open queues move to another netdev, another process; what does not fit is refused."""

import asyncio
import json
import os
import socket
import sys

import pytest

from qemu_sim.backends.netdev_tap import NetdevTap
from qemu_sim.errors import MigrationError
from qemu_sim.fds import Fd, TaggedFd, open_descriptors
from qemu_sim.io import tun

PLAIN = {"ifname": "tap0", "script": "no", "downscript": "no"}


def packets_read_from(name):
    """Count what the owner of a TAP has read: the kernel counts a frame when it is read."""
    with open("/proc/net/dev") as file:
        line = next(line for line in file if line.strip().startswith(name + ":"))
    return int(line.split(":")[1].split()[9])


def successor(**options):
    return NetdevTap("net0", PLAIN | options)


def duplicates(fds):
    return [TaggedFd(tagged.role, tagged.index, tagged.fd.share()) for tagged in fds]


@pytest.mark.parametrize("tap", [{"queues": 2}], indirect=True)
async def test_a_hand_over_and_back(netns, tap, nic, ping, make_nic):
    before = open_descriptors()
    other = successor(queues=2)
    assert other.transfer_blocker() is None
    assert other.mismatch(tap.identity()) is None
    assert (
        tap.mismatch(tap.identity()) == "TAP is already initialized and cannot receive incoming fd"
    )
    nic.start()
    tap.quiesce()
    state, fds = tap.hand_over()
    other.adopt(json.loads(json.dumps(state)), duplicates(fds))
    other.disown()
    tap.unquiesce()
    nic.start()
    assert (await ping("10.0.0.2", 5, 0.001, 56))["received"] == 5
    nic.stop()
    assert open_descriptors() == before

    tap.quiesce()
    state, fds = tap.hand_over()
    other.adopt(state, duplicates(fds))
    other.activate()
    tap.release()
    heir = make_nic(other)
    heir.start()
    assert (await ping("10.0.0.2", 5, 0.001, 56))["received"] == 5
    other.close()


@pytest.mark.parametrize("tap", [{"queues": 2}], indirect=True)
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"ifname": "tap1", "queues": 2},
            "ifname is tap0 on the source and tap1 on the destination",
        ),
        ({"queues": 4}, "queues is 2 on the source and 4 on the destination"),
        (
            {"queues": 2, "vnet_hdr": False},
            "vnet-hdr is True on the source and False on the destination",
        ),
        (
            {"queues": 2, "script": "/bin/true"},
            "the TAP has a network script; script=no is required",
        ),
    ],
    ids=str,
)
async def test_a_mismatch_names_both_values(tap, options, text):
    assert successor(**options).mismatch(tap.identity()) == text


def wrong_descriptor(kind, right):
    if kind == "null":
        return Fd(os.open("/dev/null", os.O_RDWR))
    if kind == "unattached":
        return Fd(os.open("/dev/net/tun", os.O_RDWR))
    if kind == "pipe":
        reading, writing = os.pipe()
        os.close(writing)
        return Fd(reading)
    if kind == "other":
        return tun.open_queue("other", tun.IFF_MULTI_QUEUE | tun.IFF_VNET_HDR)[0]
    return right.share()


@pytest.mark.parametrize("tap", [{"queues": 2}], indirect=True)
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("null", "queue 1: the descriptor is not a TAP"),
        ("pipe", "queue 1: the descriptor is not a TAP"),
        ("unattached", "queue 1: the descriptor is not attached to an interface"),
        ("other", "queue 1: belongs to other, expected tap0"),
        ("twice", "queues 0 and 1 of the TAP are the same open file"),
    ],
)
async def test_a_wrong_descriptor_is_refused_and_closed(tap, kind, text):
    tap.quiesce()
    before = open_descriptors()
    state, fds = tap.hand_over()
    received = duplicates(fds)
    received[1].fd.close()
    received[1] = TaggedFd("queue", 1, wrong_descriptor(kind, received[0].fd))
    other = successor(queues=2)
    with pytest.raises(MigrationError) as caught:
        other.adopt(state, received)
    assert str(caught.value) == text
    assert not other.is_open
    assert open_descriptors() == before


@pytest.mark.parametrize("tap", [{"queues": 2}], indirect=True)
@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda state, fds: fds.pop().fd.close(), "received 1 queues of the TAP, expected 2"),
        (
            lambda state, fds: fds.append(TaggedFd("queue", 2, fds[0].fd.share())),
            "received 3 queues of the TAP, expected 2",
        ),
        (
            lambda state, fds: fds.append(TaggedFd("kick", 0, fds.pop().fd)),
            "a TAP has no descriptor of the role kick",
        ),
        (
            lambda state, fds: fds.append(TaggedFd("queue", 0, fds.pop().fd)),
            r"the TAP's queues are numbered [0, 0]",
        ),
        (lambda state, fds: state.update(enabled=1), "queue 1: enabled is True, expected False"),
        (
            lambda state, fds: state.update({"vnet-hdr-length": 12}),
            "the TAP's vnet header has 10 bytes, expected 12",
        ),
        (
            lambda state, fds: state.update({"vnet-hdr-length": 0}),
            "vnet-hdr is True, but its length 0",
        ),
        (
            lambda state, fds: state.pop("enabled"),
            "the TAP's state lacks enabled",
        ),
        (
            lambda state, fds: state.update(netns=1),
            "the TAP is in another network namespace than the source's",
        ),
    ],
)
async def test_a_state_that_does_not_fit_is_refused(tap, spoil, text):
    tap.quiesce()
    before = open_descriptors()
    state, fds = tap.hand_over()
    received = duplicates(fds)
    spoil(state, received)
    with pytest.raises(MigrationError) as caught:
        successor(queues=2).adopt(state, received)
    assert str(caught.value) == text
    assert open_descriptors() == before


async def test_a_tap_of_the_same_name_elsewhere_is_another_one(netns, tap):
    tap.quiesce()
    state, _ = tap.hand_over()
    elsewhere = netns.Namespace()
    elsewhere.enter()
    fd, _ = tun.open_queue("tap0", tun.IFF_VNET_HDR)
    elsewhere.leave()
    with pytest.raises(MigrationError, match=r"another TAP$"):
        successor().adopt(state, [TaggedFd("queue", 0, fd)])


async def test_an_open_tap_adopts_nothing(tap):
    tap.quiesce()
    state, fds = tap.hand_over()
    with pytest.raises(
        MigrationError, match=r"^TAP is already initialized and cannot receive incoming fd$"
    ):
        tap.adopt(state, duplicates(fds))


async def test_unchecked_it_takes_all_but_what_cannot_be_waited_for():
    tap, null = successor(queues=2), Fd(os.open(os.devnull, os.O_RDONLY))
    other = Fd(os.eventfd(0))
    with pytest.raises(MigrationError, match="the descriptor is no TAP: Operation not permitted"):
        tap.adopt_unchecked([other, null], header_length=12, enabled=2)
    assert not tap.is_open
    assert other.closed
    assert null.closed


@pytest.mark.parametrize("tap", [{"queues": 4}], indirect=True)
async def test_disabled_queues_stay_disabled_on_the_way(netns, tap, nic, ping, make_nic):
    tap.enable_queues(1)
    nic.start()
    assert (await ping("10.0.0.2", 10, 0.001, 56))["received"] == 10
    tap.quiesce()
    state, fds = tap.hand_over()
    other = successor(queues=4)
    other.adopt(state, duplicates(fds))
    tap.release()
    other.activate()
    heir = make_nic(other)
    heir.start()
    assert (await ping("10.0.0.2", 10, 0.001, 56))["received"] == 10
    other.close()


@pytest.mark.parametrize("tap", [{"queues": 2}], indirect=True)
async def test_a_thousand_hand_overs_leak_nothing_and_lose_nothing(tap, nic, ping, make_nic):
    nic.start()
    before = open_descriptors()
    pings = asyncio.create_task(ping("10.0.0.2", 100, 0.005, 56))
    rounds, owner, guest = 0, tap, nic
    while rounds < 1000 or not pings.done():
        heir = successor(queues=2)
        guest.stop()
        owner.quiesce()
        state, fds = owner.hand_over()
        heir.adopt(state, duplicates(fds))
        owner.release()
        heir.activate()
        owner, guest, rounds = heir, make_nic(heir), rounds + 1
        guest.start()
        for _ in range(3):
            await asyncio.sleep(0)  # one turn adds the reader, the next looks, the third reads
    report = await pings
    assert (report["received"], report["duplicates"]) == (100, 0)
    assert len(open_descriptors()) == len(before)
    owner.close()


@pytest.mark.parametrize("queues", [1, 4])
async def test_another_process_takes_over_in_mid_ping_and_outlives_the_first(
    netns, queues, ping, until
):
    """Not one ping is lost or answered twice, and the successor needs nobody."""
    script = os.path.join(os.path.dirname(__file__), "tap_process.py")
    here, there = socket.socketpair()
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    with here, there:
        source, destination = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                script,
                role,
                str(sock.fileno()),
                str(queues),
                pass_fds=[sock.fileno()],
                **pipes,
            )
            for role, sock in (("source", here), ("destination", there))
        ]
    try:
        async with asyncio.timeout(20):
            assert await source.stdout.readline() == b"open\n"
            netns.up("tap0", "10.0.0.1/24")
            pings = asyncio.create_task(ping("10.0.0.2", 200, 0.003, 56))
            await until(lambda: packets_read_from("tap0") > 50)
            source.stdin.write(b"go\n")
            assert await source.wait() == 0
            assert not pings.done()
            report = await pings
            destination.stdin.close()
            counters = json.loads(await destination.stdout.read())
    finally:
        for process in (source, destination):
            if process.returncode is None:
                process.kill()
            await process.wait()
    assert (report["received"], report["duplicates"], report["spoilt"]) == (200, 0, 0)
    assert counters["frames-out"] >= 200
    assert 0 < counters["frames-in-before"] < 200
