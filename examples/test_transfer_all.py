"""Two machines, one disk: it goes on while its open connection changes process."""

import pytest


@pytest.fixture
def disk(make_disk):
    return make_disk()


@pytest.fixture
def qemu_sim_argv(disk):
    """The command line of both machines, as QEMU would get it."""
    return [
        *("-machine", "q35,memory-backend=ram", "-m", "64M"),
        *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
        *("-chardev", f"socket,id=char0,path={disk.path}"),
        *("-device", "vhost-user-blk-pci,id=disk0,chardev=char0"),
    ]


def test_the_disk_moves_without_a_word(machine_pair, disk):
    source, destination = machine_pair
    source.start_load("disk0", queue_depth=8, write=True)

    outcome = source.migrate_to(destination)

    assert outcome.source.status == "completed"
    assert outcome.source.devices["disk0"].outcome == "transferred"
    assert source.execute("query-status")["status"] == "postmigrate"
    assert destination.execute("query-status")["status"] == "running"
    assert destination.query_guest()["disk0"].errors == 0
    # The server never noticed: one connection, still open.
    assert [entry for entry in disk.log if entry["event"] == "disconnect"] == []
