"""Netdev vhost-user against a switch port built on the device's side of the rings."""

from __future__ import annotations

import json

import pytest

from qemu_sim.backends.chardev_null import ChardevNull
from qemu_sim.backends.chardev_socket import ChardevSocket
from qemu_sim.backends.netdev_vhost_user import NetdevVhostUser
from qemu_sim.errors import MigrationError, QMPError
from qemu_sim.fds import TaggedFd, open_descriptors
from qemu_sim.virtio.memory import GuestMemory

FRAME = b"\xff" * 6 + b"\x02\0\0\0\0\1" + b"\x88\xb5"


@pytest.fixture
async def make_netdev():
    made = []

    def make(path, memory=None, **options):
        memory = memory or GuestMemory(16 << 20, shared=True)
        address = {"type": "unix", "data": {"path": path}}
        chardev = ChardevSocket("c0", {"addr": address, "server": False})
        netdev = NetdevVhostUser("n0", {"chardev": "c0", **options})
        netdev.attach(chardev, memory)
        made.append((netdev, chardev, memory))
        return netdev

    yield make
    for parts in made:
        for part in parts:
            part.close()


@pytest.fixture
async def netdev(switch, make_netdev):
    """An open netdev of two pairs; `got` holds what it received."""
    made = make_netdev(switch.path, queues=2)
    await made.open()
    made.enable_queues(2)
    await made.restart()
    return made


def listen(netdev):
    got = []
    netdev.start(lambda queue, frame: got.append((queue, frame)))
    return got


async def test_frames_both_ways(netdev, switch, reach):
    got = listen(netdev)
    await reach(lambda: switch.port.vrings, "the rings are known")
    for number in range(600):  # more than a ring has buffers
        pair, frame = number % 2, FRAME + number.to_bytes(2, "big")
        switch.port.deliver(pair, frame)
        assert netdev.send(pair, frame)
        await reach(lambda count=number + 1: len(switch.port.sent) == len(got) == count, "both")
    assert got == switch.port.sent
    assert got[-1] == (1, FRAME + (599).to_bytes(2, "big"))


async def test_a_stopped_nic_reads_nothing(netdev, switch, reach):
    got = listen(netdev)
    await reach(lambda: switch.port.vrings, "the rings are known")
    netdev.stop()
    switch.port.deliver(0, FRAME)
    await reach(lambda: netdev._driver.queues[0].queue.answered == 1, "it waits in RAM")
    assert got == []
    got = listen(netdev)
    await reach(lambda: got == [(0, FRAME)], "it is read now")


async def test_what_is_dropped(netdev, switch):
    assert not netdev.send(0, bytes(2037))
    assert netdev.send(0, bytes(2036))
    assert not netdev.send(2, FRAME)
    for _ in range(254):
        assert netdev.send(0, FRAME)
    assert netdev.send(0, FRAME)
    assert not netdev.send(0, FRAME)  # the server had no chance to run


async def test_drain_and_restart(netdev, switch, reach):
    for number in range(3):
        got = listen(netdev)
        switch.port.deliver(1, FRAME)
        assert netdev.send(0, FRAME)
        await reach(
            lambda got=got, count=number + 1: len(got) == 1 and len(switch.port.sent) == count,
            "frames",
        )
        netdev.stop()
        await netdev.drain()
        assert not netdev.send(0, FRAME)
        await netdev.restart()


async def test_rings_in_ram_that_has_become_another(netdev, switch, reach):
    """As after a snapshot was loaded: what was in the old ones is lost, and nothing else."""
    got = listen(netdev)
    assert netdev.send(0, FRAME)
    await reach(lambda: switch.port.sent == [(0, FRAME)], "sent")
    netdev.stop()
    switch.port.deliver(0, FRAME)
    await netdev.drain()
    before = netdev._memory.allocated()
    netdev.forget_rings()
    netdev._memory.clear()
    await netdev.restart()
    assert netdev._memory.allocated() == before
    got = listen(netdev)
    for number in range(600):
        pair, frame = number % 2, FRAME + b"again" + number.to_bytes(2, "big")
        switch.port.deliver(pair, frame)
        assert netdev.send(pair, frame)
        await reach(
            lambda frame=frame: got[-1:] == switch.port.sent[-1:] and frame in got[-1], "both"
        )
    assert len(got) == 600


async def test_hand_over_says_nothing_and_loses_nothing(netdev, switch, make_netdev, reach):
    got = listen(netdev)
    await reach(lambda: switch.port.vrings, "the rings are known")
    switch.port.deliver(0, FRAME + b"1")
    await reach(lambda: len(got) == 1, "one frame")
    before, census = switch.log(), len(open_descriptors())
    netdev.stop()
    netdev.quiesce()
    switch.port.deliver(1, FRAME + b"2")
    target = make_netdev(switch.path, GuestMemory(16 << 20, shared=True), queues=2)
    target._memory.adopt(netdev._memory.fd.share())
    state, fds = netdev.hand_over()
    fds = [TaggedFd(tagged.role, tagged.index, tagged.fd.share()) for tagged in fds]
    target.adopt(json.loads(json.dumps(state)), fds)
    netdev.release()
    target.activate()
    got = listen(target)
    await reach(lambda: got == [(1, FRAME + b"2")], "what came meanwhile")
    assert target.send(0, FRAME + b"3")
    await reach(lambda: switch.port.sent == [(0, FRAME + b"3")], "the server hears the target")
    assert switch.log() == before
    assert len(open_descriptors()) == census + 2  # RAM of the other side: memfd and map


async def test_a_bad_driver_state(netdev, make_netdev, switch):
    netdev.quiesce()
    target = make_netdev(switch.path, queues=2)
    target._memory.adopt(netdev._memory.fd.share())
    state, fds = netdev.hand_over()
    fds = [TaggedFd(tagged.role, tagged.index, tagged.fd.share()) for tagged in fds]
    with pytest.raises(MigrationError, match="bad state of a virtio-net queue"):
        target.adopt(state | {"driver": [{}]}, fds)
    assert all(tagged.fd.closed for tagged in fds)
    assert not target.is_open


async def test_started_in_the_background(switch, make_netdev, reach):
    netdev = make_netdev(switch.path)
    await netdev.open()
    got = listen(netdev)
    await reach(lambda: netdev._session.state.started, "the server knows the rings")
    switch.port.deliver(0, FRAME)
    await reach(lambda: got == [(0, FRAME)], "a frame")


@pytest.mark.parametrize("queues", [0, 1025])
def test_bad_number_of_queues(queues):
    with pytest.raises(QMPError, match=r"number of queues must be in range \[1, 1024\]"):
        NetdevVhostUser("n0", {"chardev": "c", "queues": queues})


def test_a_chardev_without_descriptors():
    memory = GuestMemory(1 << 20, shared=True)
    with pytest.raises(QMPError, match='chardev "c" does not support FD passing'):
        NetdevVhostUser("n0", {"chardev": "c"}).attach(ChardevNull("c", {}), memory)


async def test_too_many_queues(switch, make_netdev):
    with pytest.raises(QMPError, match="maximum number of queues supported by the backend is 4"):
        await make_netdev(switch.path, queues=5).open()
