"""Devices that no guest uses, and what is behind them. Their errors are in tests/data/talks-*."""

import os
import socket

import pytest

from qemu_sim.machine.board import Board
from qemu_sim.machine.buses import Buses
from qemu_sim.machine.options import MachineOptions
from qemu_sim.testing import QMPError

CHANNEL = ["-device", "virtio-serial-pci,id=vs0", "-device", "virtserialport,chardev=c0,id=p0"]


@pytest.fixture
def channel(make_machine, tmp_path):
    """A guest agent's channel, of a machine that waits for a migration."""
    path = tmp_path / "agent"
    chardev = f"socket,id=c0,path={path},server=on,wait=off"
    machine = make_machine("-M", "pc", "-chardev", chardev, *CHANNEL, "-incoming", "defer")
    return machine, path


def is_open(machine):
    (open_now,) = (
        each["frontend-open"] for each in machine.execute("query-chardev") if each["label"] == "c0"
    )
    return open_now


def test_a_channel_listens_before_the_guest_is_there(channel):
    _, path = channel
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))


def test_no_guest_opens_a_channel(channel):
    machine, _ = channel
    assert not is_open(machine)
    assert "VSERPORT_CHANGE" not in [event["event"] for event in machine.events]


def test_an_unplugged_port_leaves_its_chardev(channel):
    machine, _ = channel
    machine.execute("device_del", id="p0")
    machine.wait_event("DEVICE_DELETED", device="p0")
    machine.execute("device_add", driver="virtserialport", id="p1", chardev="c0", nr=1)
    machine.execute("device_del", id="p1")
    machine.execute("chardev-remove", id="c0")


def test_a_controller_takes_its_bus_along(make_machine):
    machine = make_machine("-M", "pc", "-device", "qemu-xhci,id=usb", "-device", "usb-kbd,id=k")
    machine.execute("device_del", id="k")
    machine.execute("device_del", id="usb")
    with pytest.raises(QMPError, match="No 'usb-bus' bus found for device 'usb-mouse'"):
        machine.execute("device_add", driver="usb-mouse")


async def test_the_guest_writes_to_the_first_serial_port(tmp_path):
    board = Board(MachineOptions(), Buses("pc"), lambda _kind, given, _typed: given)
    for name in ("c0", "c1"):
        await board.chardevs.add("file", name, {"out": str(tmp_path / name)})
        await board.add_device("isa-serial", None, {"chardev": name}, hotplug=False)
    board.chardevs.serial.write(b"A")
    board.close()
    assert [(tmp_path / name).read_bytes() for name in ("c0", "c1")] == [b"A", b""]


def test_random_numbers_come_from_a_file(make_machine, tmp_path):
    source = tmp_path / "numbers"
    source.write_bytes(b"4")

    def readers():
        paths = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        return sum(os.path.realpath(path) == str(source) for path in paths)

    machine = make_machine("-M", "pc")
    machine.execute("object-add", {"qom-type": "rng-random", "id": "r", "filename": str(source)})
    assert readers() == 1
    machine.execute("device_add", driver="virtio-rng-pci", id="rng0", rng="r")
    machine.execute("object-del", id="r")
    assert readers() == 0
