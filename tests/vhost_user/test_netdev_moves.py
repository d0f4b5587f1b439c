"""A NIC on a vhost-user switch goes from one daemon to another; the switch does not notice."""

from __future__ import annotations

import asyncio
import struct

import pytest

OUR_MAC = bytes.fromhex("020000000001")
PAIRS = 2


@pytest.fixture
def qemu_sim_mode():
    return "daemon"


def arp_request(number):
    """Ask who has 10.0.1.`number`."""
    ours, theirs = bytes([10, 0, 0, 1]), bytes([10, 0, 1, number])
    head = b"\xff" * 6 + OUR_MAC + b"\x08\x06"
    return head + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + OUR_MAC + ours + bytes(6) + theirs


def answered(port):
    """The last bytes of the addresses that were answered for, in order."""
    arp = [frame for _, frame in port.sent if frame[12:14] == b"\x08\x06"]
    return [frame[31] for frame in arp if frame[20:22] == b"\0\2"]


@pytest.fixture
def argv(switch):
    return [
        *("-machine", "q35,memory-backend=ram", "-m", "64"),
        *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
        *("-chardev", f"socket,id=c0,path={switch.path}"),
        *("-netdev", f"vhost-user,id=net0,chardev=c0,queues={PAIRS}"),
        *("-device", "virtio-net-pci,id=nic0,netdev=net0,mq=on"),
    ]


async def test_a_nic_moves_with_what_waits_in_its_rings(make_machine, switch, argv, reach):
    port = switch.port
    source = await make_machine.aio(*argv, name="source")
    destination = await make_machine.aio(*argv, "-incoming", "defer", name="destination")
    await reach(lambda: port.vrings, "the rings are known")
    port.deliver(0, arp_request(1))
    await reach(lambda: answered(port) == [1], "the source's guest answers")
    before = switch.log()

    source.hold("descriptors-sent")
    moving = asyncio.create_task(source.aio.migrate_to(destination))
    await source.aio.wait_held("descriptors-sent")
    for pair in range(PAIRS):
        port.deliver(pair, arp_request(2 + pair))
    source.release()
    outcome = await moving

    assert outcome.source.devices["nic0"].outcome == "transferred"
    assert outcome.source.devices == outcome.destination.devices
    await reach(lambda: sorted(answered(port)) == [1, 2, 3], "what waited is answered, once")
    assert source.kill() == -9
    port.deliver(1, arp_request(4))
    await reach(lambda: answered(port)[3:] == [4], "the destination's guest answers")
    assert switch.log() == before


async def test_a_nic_comes_back_when_the_migration_fails(make_machine, switch, argv, reach):
    port = switch.port
    source = await make_machine.aio(*argv, name="source")
    destination = await make_machine.aio(*argv, "-incoming", "defer", name="destination")
    await reach(lambda: port.vrings, "the rings are known")
    destination.inject("refuse", at="descriptors-received")
    before = switch.log()
    outcome = await source.aio.migrate_to(destination)
    assert outcome.source.status == "failed"
    port.deliver(1, arp_request(9))
    await reach(lambda: answered(port) == [9], "the source's guest answers again")
    assert switch.log() == before
