"""What is told of virtio devices where no real QEMU could be recorded.

tests/data/sequences-* has the rest, of devices without a driver.
"""

import pytest

from qemu_sim.testing import QMPError

NIC = ["-netdev", "hubport,id=net0,hubid=0", "-device", "virtio-net-pci,id=nic,netdev=net0"]
BACKEND = "/machine/peripheral/nic/virtio-backend"


def names(features):
    return {
        each.partition(":")[0] for kind in ("transports", "dev-features") for each in features[kind]
    }


def test_the_guest_drives_a_nic_from_the_start_to_a_reset(make_machine):
    machine = make_machine("-M", "q35", "-S", *NIC)
    before = machine.execute("x-query-virtio-status", path=BACKEND)
    assert before["status"] == {"statuses": []}
    assert not before["started"]
    machine.execute("cont")
    driven = machine.execute("x-query-virtio-status", path=BACKEND)
    assert driven["status"]["statuses"][-1] == "VIRTIO_CONFIG_S_DRIVER_OK: Driver setup and ready"
    assert names(driven["guest-features"]) == {"VIRTIO_F_VERSION_1", "VIRTIO_NET_F_MAC"}
    assert driven["started"]
    machine.execute("stop")
    machine.execute("system_reset")
    assert machine.execute("x-query-virtio-status", path=BACKEND) == before


def test_newer_ones_have_a_name_for_each_feature(make_machine):
    machine = make_machine("-M", "q35", "-S", *NIC)
    offered = machine.execute("x-query-virtio-status", path=BACKEND)["host-features"]
    assert "unknown-dev-features" not in offered
    assert "VIRTIO_F_RING_RESET" in names(offered)


def test_rings_in_use_are_nowhere(make_machine):
    machine = make_machine("-M", "q35", *NIC)
    for command in ("x-query-virtio-queue-status", "x-query-virtio-queue-element"):
        with pytest.raises(QMPError, match="not simulated by qemu-sim: the rings of 'nic' in use"):
            machine.execute(command, path=BACKEND, queue=0)


def test_a_nic_has_as_many_queues_as_its_netdev(make_machine):
    argv = ["-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no,queues=2"]
    nic = ["-device", "virtio-net-pci,id=nic,netdev=net0,mq=on"]
    machine = make_machine("-M", "q35", "-S", *argv, *nic, "-incoming", "defer")  # opens no TAP
    assert machine.execute("x-query-virtio-status", path=BACKEND)["num-vqs"] == 5
    assert machine.execute("x-query-virtio-queue-status", path=BACKEND, queue=4)["vring-num"] == 64


def test_a_device_of_another_process_is_listed_and_not_told_of(make_machine, make_disk):
    chardev = f"socket,id=c0,path={make_disk().path}"
    machine = make_machine(
        *("-M", "q35,memory-backend=ram", "-m", "64"),
        *("-object", "memory-backend-memfd,id=ram,size=64M"),
        *("-chardev", chardev, "-device", "vhost-user-blk-pci,id=disk,chardev=c0"),
    )
    path = "/machine/peripheral/disk/virtio-backend"
    assert machine.execute("x-query-virtio") == [{"name": "virtio-blk", "path": path}]
    with pytest.raises(QMPError, match="x-query-virtio-status of 'vhost-user-blk-pci'"):
        machine.execute("x-query-virtio-status", path=path)
