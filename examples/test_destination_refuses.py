"""A destination that does not fit says no, and the source goes on as if nothing had been."""

import pytest


@pytest.fixture
def disk(make_disk):
    return make_disk()


def argv(disk, queues):
    return [
        *("-machine", "q35,memory-backend=ram", "-m", "64M"),
        *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
        *("-chardev", f"socket,id=char0,path={disk.path}"),
        *("-device", f"vhost-user-blk-pci,id=disk0,chardev=char0,num-queues={queues}"),
    ]


@pytest.mark.parametrize("qemu_sim_mode", ["in-process", "daemon"])
def test_the_source_goes_on(make_machine, disk):
    source = make_machine(*argv(disk, queues=4))
    destination = make_machine(*argv(disk, queues=2), "-incoming", "defer")

    outcome = source.migrate_to(destination, devices=["disk0"])

    assert outcome.source.status == "failed"
    assert "disk0" in outcome.source.error_desc
    assert source.execute("query-status")["status"] == "running"
    assert destination.execute("query-status")["status"] == "inmigrate"
    assert len([entry for entry in disk.log if entry["event"] == "connect"]) == 1
