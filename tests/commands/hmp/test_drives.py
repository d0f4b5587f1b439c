"""What QEMU's drive_del-test does: drives come and go, with and without a device.

QEMU: tests/qtest/drive_del-test.c
"""

import pytest

EMPTY = "if=none,id=drive0"
FULL = "if=none,id=drive0,file=null-co://,file.read-zeroes=on,format=raw"
MEDIA = "Device needs media, but drive is empty"


@pytest.fixture
def start(make_machine):
    def start(*argv):
        machine = make_machine("-machine", "pc", "-sim", "extensions=off", *argv)

        def human(line):
            return machine.execute("human-monitor-command", command_line=line)

        def drives():
            return [each["device"] for each in machine.execute("query-block")]

        return machine, human, drives

    return start


def test_a_name_is_free_again(start):
    _, human, drives = start("-drive", EMPTY)
    assert human("drive_del drive0") == ""
    assert drives() == []
    assert human(f"drive_add 0 {EMPTY}") == "OK\r\n"
    assert human(f"drive_add 0 {EMPTY}") == "Duplicate ID 'drive0' for drive\r\n"
    assert drives() == ["drive0"]


def test_a_device_that_fails_leaves_the_drive_alone(start):
    _, human, drives = start("-drive", EMPTY)
    assert human("device_add virtio-blk-pci,drive=drive0") == f"Error: {MEDIA}\r\n"
    assert human("drive_del drive0") == ""
    assert drives() == []


def test_a_drive_goes_before_its_device(start):
    machine, human, drives = start("-drive", FULL, "-device", "virtio-blk-pci,drive=drive0,id=dev0")
    assert human("drive_del drive0") == ""
    [left] = machine.execute("query-block")
    assert left["device"] == ""
    assert "inserted" not in left
    assert human("info block") == (
        "/machine/peripheral/dev0/virtio-backend: [not inserted]\r\n"
        "    Attached to:      /machine/peripheral/dev0/virtio-backend\r\n"
    )
    machine.execute("device_del", id="dev0")
    machine.wait_event("DEVICE_DELETED", device="dev0")
    assert drives() == []


def test_a_node_made_by_name(start):
    _, human, _ = start()
    assert human("drive_add -n 0 driver=null-co,node-name=node") == ""
    assert human("info block -n") == (
        "node: null-co:// (null-co)\r\n    Cache mode:       writeback\r\n"
    )


def test_options_of_the_file_that_it_does_not_have(start):
    _, human, _ = start()
    wrong = human("drive_add 0 if=none,file=null-co://,file.foo=on")
    assert wrong == "Error: Block protocol 'null-co' doesn't support the option 'foo'\r\n"
