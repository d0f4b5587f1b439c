"""A disk under load goes to another process, and its server notices nothing."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys

import pytest

from qemu_sim.errors import MigrationError
from qemu_sim.fds import Fd, TaggedFd, open_descriptors

own_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
DESTINATION = os.path.join(os.path.dirname(__file__), "destination.py")


def moved(disk):
    """State and duplicates of the descriptors, as another process gets them."""
    state, fds = disk.backend.hand_over()
    copies = [TaggedFd(tagged.role, tagged.index, tagged.fd.share()) for tagged in fds]
    return json.loads(json.dumps(state)), copies


@pytest.fixture
async def quiet(disk, count):
    """A disk under load that was stopped and put at rest."""
    disk.start_load(32, write=True)
    await count(disk, 200)
    disk.halt()
    disk.backend.quiesce()
    return disk


@pytest.fixture
async def target(quiet, server, make_disk):
    """An unopened twin of `quiet` that has its RAM."""
    twin = make_disk(server.path, **{"num-queues": 2})
    twin._memory.adopt(quiet._memory.fd.share())
    return twin


async def test_to_another_process_under_load(disk, server, count, reach, environment):
    disk.start_load(32, write=True)
    await count(disk, 200)
    logged = len(server.log()) if server.kind == "embedded" else 0
    ours, theirs = socket.socketpair()
    arguments = ["-X", "dev", DESTINATION, str(theirs.fileno())]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, pass_fds=[theirs.fileno()], env=environment
    )
    theirs.close()
    disk.halt()
    disk.backend.quiesce()
    state, fds = disk.backend.hand_over()
    message = {
        "path": server.path,
        "ram": disk._memory.size,
        "properties": disk.properties,
        "device": disk.save(),
        "backend": state,
        "count": 500,
    }
    numbers = [disk._memory.fd.fileno(), *(tagged.fd.fileno() for tagged in fds)]
    socket.send_fds(ours, [json.dumps(message).encode()], numbers)
    before = disk.report()
    assert before["inflight"] == 32
    disk.backend.release()
    loop = asyncio.get_running_loop()
    ours.setblocking(False)
    first = json.loads(await asyncio.wait_for(loop.sock_recv(ours, 65536), 10))
    if server.kind == "embedded":
        assert server.log()[logged:] == []
    assert first["requests"] >= before["requests"] + 500
    assert first["inflight"] == 32
    ours.send(b"x")
    last = json.loads(await asyncio.wait_for(loop.sock_recv(ours, 65536), 10))
    assert last["inflight"] == 0
    assert (first["errors"], last["errors"]) == (0, 0)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    ours.close()
    if server.kind == "embedded":
        await reach(lambda: len(server.log()) > logged, "the end is seen")
        assert [entry["event"] for entry in server.log()[logged:]] == ["disconnect"]


async def test_adopt_and_roll_back(quiet, target, count):
    census = len(open_descriptors())
    for _ in range(20):
        state, fds = moved(quiet)
        target.backend.adopt(state, fds)
        target.load(json.loads(json.dumps(quiet.save())))
        target.backend.disown()
    assert len(open_descriptors()) == census
    quiet.backend.unquiesce()
    quiet.run()
    await count(quiet, 200)
    assert quiet.report()["errors"] == 0


async def test_there_and_back(quiet, target, count):
    here, there = quiet, target
    census = set()
    for _ in range(40):
        state, fds = moved(here)
        there.backend.adopt(state, fds)
        there.load(json.loads(json.dumps(here.save())))
        here.backend.release()
        there.backend.activate()
        there.run()
        await count(there, 20)
        census.add(len(open_descriptors()))
        assert there.report()["errors"] == 0
        there.halt()
        there.backend.quiesce()
        here, there = there, here
    assert len(census) == 1


@own_server
async def test_swapped_eventfds(quiet, target):
    state, fds = moved(quiet)
    kicks = [tagged for tagged in fds if tagged.role == "kick"]
    others = [tagged for tagged in fds if tagged.role != "kick"]
    swapped = [TaggedFd("kick", 1 - tagged.index, tagged.fd) for tagged in kicks]
    identity = {tuple(tag): name for *tag, name in state["descriptors"]}
    words = (
        rf"disk0: descriptor kick\[1\] is {identity['kick', 0]}, "
        rf"at the source it was {identity['kick', 1]}"
    )
    with pytest.raises(MigrationError, match=words):
        target.backend.adopt(state, others + swapped)
    assert all(tagged.fd.closed for tagged in fds)


def _pipe():
    reading, writing = os.pipe()
    os.close(writing)
    return Fd(reading)


def _pair(kind=socket.SOCK_STREAM):
    ours, theirs = socket.socketpair(type=kind)
    theirs.close()
    return Fd(ours.detach())


@own_server
@pytest.mark.parametrize(
    ("role", "make", "words"),
    [
        ("kick", _pipe, r"kick\[0\] is of kind pipe, not eventfd"),
        ("kick", lambda: Fd(os.eventfd(0)), r"kick\[0\] is eventfd:\d+, at the source"),
        ("call", lambda: Fd(os.memfd_create("x")), r"call\[0\] is of kind memfd, not eventfd"),
        ("socket", _pipe, r"socket\[0\] is of kind pipe, not socket"),
        ("socket", _pair, r"socket\[0\] is not connected|is socket:\d+, at the source"),
        ("socket", lambda: _pair(socket.SOCK_DGRAM), r"socket\[0\] is not a unix stream socket"),
        (
            "socket",
            lambda: Fd(socket.socket(socket.AF_INET).detach()),
            r"socket\[0\] is not a unix stream socket",
        ),
    ],
)
async def test_a_wrong_descriptor(quiet, target, role, make, words):
    state, fds = moved(quiet)
    for position, tagged in enumerate(fds):
        if (tagged.role, tagged.index) == (role, 0):
            tagged.fd.close()
            fds[position] = TaggedFd(role, 0, make())
    with pytest.raises(MigrationError, match=words):
        target.backend.adopt(state, fds)
    assert all(tagged.fd.closed for tagged in fds)
    assert not target.backend.is_open


@own_server
async def test_one_descriptor_too_few_or_too_many(quiet, target):
    state, fds = moved(quiet)
    fds.pop().fd.close()
    with pytest.raises(MigrationError, match=r"disk0: descriptor call\[1\] came 0 times"):
        target.backend.adopt(state, fds)
    state, fds = moved(quiet)
    with pytest.raises(MigrationError, match=r"descriptor kick\[7\] came, but is of no use"):
        target.backend.adopt(state, [*fds, TaggedFd("kick", 7, _pipe())])


@own_server
async def test_other_ram(quiet, make_disk, server):
    stranger = make_disk(server.path)
    state, fds = moved(quiet)
    with pytest.raises(MigrationError, match=r"has mapped memfd:\d+, guest RAM is memfd"):
        stranger.backend.adopt(state, fds)


@own_server
@pytest.mark.parametrize("key", ["rings", "descriptors", "config", "features", "ram"])
async def test_nonsense_in_the_state(quiet, target, key):
    for nonsense in (None, "x", [[1]], {}):
        state, fds = moved(quiet)
        state[key] = nonsense
        with pytest.raises(MigrationError):
            target.backend.adopt(state, fds)
        assert all(tagged.fd.closed for tagged in fds)


@own_server
async def test_identity(disk, make_disk, server):
    assert "has a connection" in disk.backend.mismatch(disk.backend.identity())
    twin = make_disk(server.path, **{"num-queues": 2})
    assert twin.backend.mismatch(disk.backend.identity()) is None
    other = make_disk(server.path)
    assert other.backend.mismatch(disk.backend.identity()) == "queues is 2 at the source, 1 here"
    assert "socket is" in make_disk("/other", **{"num-queues": 2}).backend.mismatch(
        disk.backend.identity()
    )


@own_server
async def test_mid_message(disk):
    """A question without its answer cannot move."""
    task = asyncio.create_task(disk.backend.stop())
    await asyncio.sleep(0)
    with pytest.raises(MigrationError, match="a message is under way"):
        disk.backend.quiesce()
    await task


async def test_unopened(make_disk):
    with pytest.raises(MigrationError, match="not connected"):
        make_disk("/nowhere").backend.quiesce()


@own_server
async def test_a_paused_machine_moves(disk, server, make_disk, count):
    """Its rings are stopped; the destination starts them."""
    disk.start_load(32, write=True)
    await count(disk, 200)
    disk.halt()
    await disk.drain()
    disk.backend.quiesce()
    twin = make_disk(server.path, **{"num-queues": 2})
    twin._memory.adopt(disk._memory.fd.share())
    state, fds = moved(disk)
    twin.backend.adopt(state, fds)
    twin.load(json.loads(json.dumps(disk.save())))
    disk.backend.release()
    twin.backend.activate()
    await twin.restart()
    twin.run()
    await count(twin, 100)
    assert twin.report()["errors"] == 0
