"""Types of devices that have no file: they are what a real QEMU showed of one.

What all of them say where they cannot be is in tests/data/sequences-*.
"""

import pytest

from qemu_sim.testing import QMPError

NULL = ["-blockdev", "null-co,node-name=n0,read-zeroes=on"]


def test_a_nic_takes_its_netdev_and_gives_it_back(make_machine):
    machine = make_machine("-M", "pc", "-netdev", "user,id=net0")
    machine.execute("device_add", driver="e1000", id="nic", netdev="net0")
    with pytest.raises(QMPError, match=r"Property 'rtl8139\.netdev' can't take value 'net0'"):
        machine.execute("device_add", driver="rtl8139", netdev="net0")
    machine.execute("device_del", id="nic")
    machine.execute("device_add", driver="rtl8139", netdev="net0")


def test_it_is_said_that_a_nic_does_nothing(make_machine, caplog):
    make_machine("-M", "pc", "-netdev", "user,id=net0", "-device", "e1000,id=nic,netdev=net0")
    assert "nic: the simulated guest has no driver for e1000" in caplog.text


def test_a_disk_keeps_its_node(make_machine):
    machine = make_machine("-M", "pc", *NULL)
    with pytest.raises(QMPError, match="serial property not set"):
        machine.execute("device_add", driver="nvme", id="disk")
    with pytest.raises(QMPError, match="drive property not set"):
        machine.execute("device_add", driver="nvme", id="disk", serial="s")
    machine.execute("device_add", driver="nvme", id="disk", serial="s", drive="n0")
    with pytest.raises(QMPError, match="Node n0 is in use"):
        machine.execute("blockdev-del", {"node-name": "n0"})
    machine.execute("device_del", id="disk")
    machine.execute("blockdev-del", {"node-name": "n0"})


def test_a_controller_brings_buses(make_machine):
    machine = make_machine("-M", "q35", *NULL, "-device", "ich9-ahci,id=ahci")
    with pytest.raises(QMPError, match=r"Bus 'ahci\.3' does not support hotplugging"):
        machine.execute("device_add", driver="ide-hd", bus="ahci.3", drive="n0")


def test_what_was_not_recorded_is_refused(make_machine):
    machine = make_machine("-M", "pc", "-object", "memory-backend-ram,id=m0,size=1M")
    with pytest.raises(QMPError, match="device 'virtio-pmem-pci' is not simulated by qemu-sim"):
        machine.execute("device_add", driver="virtio-pmem-pci", memdev="m0")
