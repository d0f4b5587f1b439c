"""The NIC between a netdev and the simulated guest."""

import json

import pytest

from qemu_sim.backends.netdev import Netdev
from qemu_sim.devices.virtio_net_pci import VirtioNetPCI
from qemu_sim.errors import MigrationError, QMPError

ARP = "ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002"


class Wire(Netdev):
    """A netdev without a host: keeps what is sent, delivers what a test gives it."""

    TYPE = "wire"
    is_open = False

    def __init__(self, queues=1):
        super().__init__("net0", {})
        self.queues = queues
        self.sent = []
        self.receive = None
        self.enabled = None

    async def open(self):
        assert not self.is_open
        self.is_open = True

    def close(self):
        self.is_open = False

    def start(self, receive):
        self.receive = receive

    def stop(self):
        self.receive = None

    def send(self, queue, frame):
        self.sent.append((queue, frame))
        return True

    def enable_queues(self, count):
        self.enabled = count


class Parts:
    memory = None
    guest_addresses = (frozenset(), frozenset())

    def __init__(self, netdev=None):
        self.netdev = netdev

    def claim_netdev(self, device_type, id):
        assert (device_type, id) == ("virtio-net-device", "net0")
        return self.netdev

    def claim_chardev(self, device_type, id):
        raise AssertionError

    def next_mac(self):
        return "52:54:00:12:34:56"


def device(netdev, **properties):
    given = {"netdev": "net0"} | properties if netdev else properties
    return VirtioNetPCI("nic0", "/machine/peripheral/nic0", given, Parts(netdev))


async def test_the_guest_answers_with_the_macs_of_its_nic():
    wire = Wire()
    nic = device(wire, mac="52-54-00-AB-CD-EF")
    await nic.open()
    nic.run()
    wire.receive(0, bytes.fromhex(ARP))
    ((queue, frame),) = wire.sent
    assert (queue, frame[6:12].hex()) == (0, "525400abcdef")
    report = nic.report()
    assert (report["frames-in"], report["frames-out"], report["errors"]) == (1, 1, 0)
    nic.halt()
    assert wire.receive is None
    assert wire.is_open


@pytest.mark.parametrize(("mq", "used"), [(True, 4), (False, 1)])
async def test_mq_uses_all_queue_pairs(mq, used):
    wire = Wire(queues=4)
    await device(wire, mq=mq).open()
    assert wire.enabled == used


async def test_an_open_netdev_is_not_opened_again():
    wire = Wire()
    await wire.open()
    await device(wire).open()


@pytest.mark.parametrize(
    "mac", ["xx", "52:54:00:12:34", "52:54:00:12:34:5g", "52:54:00:12:34:56:78"]
)
def test_a_bad_mac_is_refused_in_qemus_words(mac):
    with pytest.raises(QMPError) as caught:
        device(Wire(), mac=mac)
    assert str(caught.value) == f"Property 'virtio-net-device.mac' doesn't take value '{mac}'"


async def test_a_nic_without_netdev_does_nothing():
    nic = device(None)
    await nic.open()
    nic.run()
    assert nic.report() is None
    assert nic.backend is None
    nic.load(json.loads(json.dumps(nic.save())))
    nic.close()


def test_nothing_comes_where_the_stream_brought_no_tap():
    nic = device(Wire())
    nic.run()
    assert nic.netdev.receive is None
    nic.halt()


def test_the_guest_keeps_its_mac_and_counters_when_it_moves():
    source, target = device(Wire(), mac="52:54:00:00:00:01"), device(Wire())
    source.netdev.is_open = target.netdev.is_open = True
    source.run()
    source.netdev.receive(0, bytes.fromhex(ARP))
    target.load(json.loads(json.dumps(source.save())))
    assert target.mac == "52:54:00:00:00:01"
    target.run()
    target.netdev.receive(0, bytes.fromhex(ARP))
    assert target.netdev.sent == source.netdev.sent
    assert target.report()["frames-in"] == 2


def test_another_number_of_queue_pairs_is_refused():
    source, target = device(Wire(queues=4), mq=True), device(Wire(queues=4))
    with pytest.raises(MigrationError, match="4 queue pairs in use on the source, 1 on the dest"):
        target.load(source.save())


def test_a_netdev_that_cannot_travel_says_so():
    wire = Wire()
    reason = "netdev type wire does not support backend transfer"
    assert wire.transfer_blocker() == wire.mismatch({}) == reason
    for refused in (wire.quiesce, wire.hand_over, lambda: wire.adopt({}, [])):
        with pytest.raises(MigrationError, match=reason):
            refused()


async def test_without_a_link_frames_are_lost_in_both_directions():
    wire = Wire()
    await wire.open()
    nic = device(wire)
    nic.run()
    nic.set_link(False)
    wire.receive(0, bytes.fromhex(ARP))
    nic.announce()
    assert wire.sent == []
    assert nic.report()["frames-in"] == 0
    nic.set_link(True)
    wire.link_up = False
    wire.receive(0, bytes.fromhex(ARP))
    assert wire.sent == []
    wire.link_up = True
    wire.receive(0, bytes.fromhex(ARP))
    assert len(wire.sent) == 1


def test_a_pulled_cable_stays_pulled_when_the_guest_moves():
    source, target = device(Wire()), device(Wire())
    target.netdev.is_open = True
    source.set_link(False)
    target.load(json.loads(json.dumps(source.save())))
    target.run()
    target.netdev.receive(0, bytes.fromhex(ARP))
    assert target.netdev.sent == []


async def test_an_announcement_tells_switches_the_mac():
    wire = Wire()
    nic = device(wire, mac="52:54:00:00:00:01")
    nic.announce()
    assert wire.sent == []  # not open yet
    await wire.open()
    nic.announce()
    assert wire.sent == []  # the guest may run elsewhere
    nic.run()
    ((queue, frame),) = wire.sent
    assert (queue, len(frame)) == (0, 60)
    assert frame[:42].hex() == (
        "ffffffffffff525400000001803500010800060400035254000000010000000052540000000100000000"
    )
