"""Two disks, one is to get a new back end: the caller leaves it out, and it is reopened."""

import pytest


@pytest.fixture
def disks(make_disk):
    return [make_disk("keep"), make_disk("change")]


@pytest.fixture
def qemu_sim_argv(disks):
    keep, change = disks
    return [
        *("-machine", "q35,memory-backend=ram", "-m", "64M"),
        *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
        *("-chardev", f"socket,id=char0,path={keep.path}"),
        *("-device", "vhost-user-blk-pci,id=keep,chardev=char0"),
        *("-chardev", f"socket,id=char1,path={change.path}"),
        *("-device", "vhost-user-blk-pci,id=change,chardev=char1"),
    ]


def connections(disk):
    return sum(entry["event"] == "connect" for entry in disk.log)


def test_a_device_that_is_not_listed_is_reopened(machine_pair, disks):
    source, destination = machine_pair

    outcome = source.migrate_to(destination, devices=["keep"])

    assert outcome.source.status == "completed"
    assert outcome.destination.devices["keep"].outcome == "transferred"
    assert outcome.destination.devices["change"].outcome == "reopened"
    assert [connections(disk) for disk in disks] == [1, 2]
