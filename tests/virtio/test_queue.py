"""Both sides of a split virtqueue, against each other."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qemu_sim.errors import MigrationError, QMPError, WireError
from qemu_sim.virtio.device_queue import DeviceQueue
from qemu_sim.virtio.memory import GuestMemory
from qemu_sim.virtio.queue import DESC, Buffer, DriverQueue, Ring, allocate_ring, used_index, words


@pytest.fixture
def memory():
    made = GuestMemory(1 << 20, shared=False)
    yield made
    made.close()


@pytest.fixture
def ring(memory):
    return allocate_ring(memory, 8)


def one(address, length=10, writable=False):
    return Buffer(address, length, writable)


buffers = st.lists(
    st.builds(Buffer, st.integers(0, 1 << 20), st.integers(1, 5000), st.booleans()),
    min_size=1,
    max_size=4,
).map(lambda chain: sorted(chain, key=lambda buffer: buffer.writable))


@given(
    st.lists(st.tuples(buffers, st.booleans(), st.booleans(), st.integers(0, 99))), st.booleans()
)
def test_each_chain_comes_back_once(steps, handed_over):
    """In any order of adding, serving and taking, also past the wrap of the ring."""
    memory = GuestMemory(1 << 20, shared=False)
    ring = allocate_ring(memory, 8)
    driver, device = DriverQueue(memory, ring), DeviceQueue(memory, ring, 0)
    added, held, returned, taken = {}, [], [], []
    for chain, serve, take, written in steps:
        head = driver.add(chain)
        if head is None:
            assert driver.outstanding
        else:
            assert head not in added
            added[head] = chain
            driver.publish()
        while serve and (found := device.pop()) is not None:
            given_chain = [Buffer(*pair, False) for pair in found.readable]
            given_chain += [Buffer(*pair, True) for pair in found.writable]
            assert given_chain == added[found.head]
            held.append(found.head)
        if serve and held:
            back = held.pop(written % len(held))
            device.push(back, written)
            returned.append((back, written))
        if handed_over:
            driver = DriverQueue.load(memory, json.loads(json.dumps(driver.save())))
        assert driver.answered == len(returned) - len(taken)
        while take and (found := driver.take()) is not None:
            taken.append(found)
            del added[found[0]]
        assert taken == returned[: len(taken)]
        assert driver.outstanding == len(added)
    assert used_index(memory, ring) == len(returned) % 65536
    memory.close()


def test_indices_wrap_at_2_to_the_16(memory, ring):
    driver, device = DriverQueue(memory, ring), DeviceQueue(memory, ring, 0)
    for number in range(65536 + 20):
        head = driver.add([one(number)])
        driver.publish()
        assert device.pop().readable == [(number, 10)]
        device.push(head, 0)
        assert driver.take() == (head, 0)
    assert device.base == device.used_index == 20


def test_an_index_never_jumps_back(memory, ring):
    """A device that polls from another processor sees each index grow, and nothing else."""
    driver, device = DriverQueue(memory, ring), DeviceQueue(memory, ring, 0)
    memory.map  # noqa: B018  (mapped before the fork, so that both look at the same pages)
    child = os.fork()
    if child == 0:
        avail, used = words(memory, ring.avail, 4), words(memory, ring.used, 4)
        last = [0, 0]
        while last != [30_000, 30_000]:
            now = [used[1], avail[1]]
            if now < last or now[1] < last[1]:
                os._exit(1)
            last = now
        os._exit(0)
    for number in range(30_000):
        head = driver.add([one(number)])
        driver.publish()
        device.pop()
        device.push(head, 0)
        driver.take()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_full_ring(memory, ring):
    driver = DriverQueue(memory, ring)
    assert driver.add([one(0)] * 5) is not None
    assert driver.add([one(0)] * 4) is None
    assert driver.add([one(0)] * 3) is not None


def test_nothing_is_seen_before_publish(memory, ring):
    driver, device = DriverQueue(memory, ring), DeviceQueue(memory, ring, 0)
    driver.add([one(0)])
    assert device.pop() is None
    driver.publish()
    assert device.pop() is not None


def test_notifications_are_suppressed_by_the_flags(memory, ring):
    driver, device = DriverQueue(memory, ring), DeviceQueue(memory, ring, 0)
    assert driver.publish()
    assert device.wants_call()
    device.suppress_kicks(True)
    driver.suppress_calls(True)
    assert not driver.publish()
    assert not device.wants_call()
    device.suppress_kicks(False)
    driver.suppress_calls(False)
    assert driver.publish()
    assert device.wants_call()


def test_a_device_that_returns_what_it_never_had(memory, ring):
    driver, device = DriverQueue(memory, ring), DeviceQueue(memory, ring, 0)
    device.push(3, 0)
    with pytest.raises(WireError, match="descriptor 3, which it does not have"):
        driver.take()


def _corrupt(memory, ring, index, *descriptor):
    memory.write(ring.desc + index * DESC.size, DESC.pack(*descriptor))


@pytest.mark.parametrize(
    ("descriptor", "words"),
    [
        ((0, 1, 1, 0), "has no end"),
        ((0, 1, 1, 8), "descriptor 8 in a ring of 8"),
        ((0, 1, 4, 0), "indirect descriptor"),
    ],
)
def test_a_broken_chain(memory, ring, descriptor, words):
    driver, device = DriverQueue(memory, ring), DeviceQueue(memory, ring, 0)
    head = driver.add([one(0)])
    driver.publish()
    _corrupt(memory, ring, head, *((*descriptor[:3], head) if descriptor[3] == 0 else descriptor))
    with pytest.raises(WireError, match=words):
        device.pop()


def test_writable_before_readable(memory, ring):
    driver, device = DriverQueue(memory, ring), DeviceQueue(memory, ring, 0)
    driver.add([one(0, writable=True), one(0)])
    driver.publish()
    with pytest.raises(WireError, match="device-readable descriptor after a writable one"):
        device.pop()


def test_an_avail_index_that_jumps(memory, ring):
    memory.write(ring.avail + 2, b"\t\0")
    with pytest.raises(WireError, match="Guest moved avail index from 0 to 9"):
        DeviceQueue(memory, ring, 0).pop()


def test_a_ring_outside_of_ram(memory):
    with pytest.raises(WireError, match="virtqueue outside of guest memory"):
        DeviceQueue(memory, Ring(8, 0, 1 << 20, 0), 0)


@pytest.mark.parametrize("size", [0, 3, 65536])
def test_bad_sizes(memory, size):
    with pytest.raises(QMPError, match=f"Invalid queue size: {size}"):
        allocate_ring(memory, size)


@pytest.mark.parametrize(
    "change", [{"free": [1, 1]}, {"ring": [8]}, {"chains": [[]]}, {"taken": None}]
)
def test_a_state_that_cannot_be(memory, ring, change):
    with pytest.raises(MigrationError, match="bad state of a virtqueue"):
        DriverQueue.load(memory, DriverQueue(memory, ring).save() | change)
