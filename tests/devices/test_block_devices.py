"""Disks and CD drives: their drives, buses and media. The texts are those of QEMU 11.1.3."""

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.machine.board import Board
from qemu_sim.machine.buses import Buses
from qemu_sim.machine.options import MachineOptions


@pytest.fixture
async def board():
    made = Board(MachineOptions(), Buses("pc-q35-11.1"), lambda _kind, given, _typed: given)
    await made.graph.add({"driver": "null-co", "node-name": "n0"})
    yield made
    made.close()


async def plug(board, driver, id=None, *, hotplug=False, **properties):
    given = {name.replace("_", "-"): value for name, value in properties.items()}
    return await board.add_device(driver, id, given, hotplug=hotplug)


async def test_a_virtio_disk_is_called_by_its_backends_path(board):
    await plug(board, "virtio-blk-pci", "vd0", drive="n0")
    (drive,) = board.drives.listed()
    found = drive.describe(flat=True)
    assert found["qdev"] == "/machine/peripheral/vd0/virtio-backend"
    assert (found["device"], found["removable"], found["io-status"]) == ("", False, "ok")
    assert found["inserted"]["node-name"] == "n0"


async def test_other_disks_are_called_by_their_id(board):
    await plug(board, "ide-hd", "hd0", drive="n0")
    await plug(board, "virtio-scsi-pci", "sc0")
    await plug(board, "scsi-cd", "cd0")
    assert [drive.device for drive in board.drives.listed()] == ["hd0", "cd0"]
    assert board.drives.listed()[1].describe(flat=True)["tray_open"] is False


async def test_unplugging_frees_the_node(board):
    await plug(board, "virtio-scsi-pci", "sc0")
    await plug(board, "scsi-hd", "sd0", drive="n0")
    board.delete_device("sd0")
    assert board.drives.listed() == []
    board.graph.delete("n0")


async def test_a_defined_drive_has_one_device(board):
    await board.drives.define({"id": "d0", "if": "none", "driver": "null-co"}, "none0")
    assert board.drives.listed()[0].describe(flat=True)["removable"] is True
    await plug(board, "virtio-blk-pci", "vd0", drive="d0")
    with pytest.raises(QMPError, match="Drive 'd0' is already in use by another device"):
        await plug(board, "virtio-blk-pci", "vd1", drive="d0")


@pytest.mark.parametrize(
    ("driver", "properties", "text"),
    [
        ("virtio-blk-pci", {}, "drive property not set"),
        ("scsi-hd", {}, "drive property not set"),
        ("ide-hd", {}, "No drive specified"),
        (
            "virtio-blk-pci",
            {"drive": "no"},
            "Property 'virtio-blk-device.drive' can't find value 'no'",
        ),
        ("scsi-hd", {"drive": "no"}, "Property 'scsi-hd.drive' can't find value 'no'"),
        ("scsi-hd", {"bus": "nope"}, "Bus 'nope' not found"),
        ("scsi-hd", {"bus": "pcie.0"}, "Device 'scsi-hd' can't go on PCIE bus"),
        ("scsi-hd", {"bus": "ide.0"}, "Device 'scsi-hd' can't go on IDE bus"),
        ("virtio-blk-pci", {"bus": "sc0.0"}, "Device 'virtio-blk-pci' can't go on SCSI bus"),
    ],
)
async def test_what_does_not_fit_is_refused(board, driver, properties, text):
    await plug(board, "virtio-scsi-pci", "sc0")
    with pytest.raises(QMPError) as caught:
        await plug(board, driver, "d", **properties)
    assert str(caught.value) == text
    assert board.drives.listed() == []


async def test_scsi_needs_an_adapter(board):
    with pytest.raises(QMPError, match="No 'SCSI' bus found for device 'scsi-cd'"):
        await plug(board, "scsi-cd")


async def test_an_ahci_port_takes_one_device_and_keeps_it(board):
    await plug(board, "ide-cd", "cd0")
    with pytest.raises(QMPError, match="Can't create IDE unit 1, bus supports only 1 units"):
        await plug(board, "ide-cd", "cd1")
    with pytest.raises(QMPError, match=r"Bus 'ide\.5' does not support hotplugging"):
        board.delete_device("cd0")


async def test_adapters_without_an_id_number_their_buses(board):
    await plug(board, "virtio-scsi-pci")
    await plug(board, "virtio-scsi-pci")
    await plug(board, "scsi-hd", "sd0", drive="n0", bus="scsi.1")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"if": "zz"}, "unsupported bus type 'zz'"),
        ({"if": "virtio"}, "a drive with if=virtio is not simulated by qemu-sim"),
        ({"if": "none", "cache": "zz"}, "invalid cache option"),
        ({"if": "none", "media": "zz"}, "'zz' invalid media"),
        ({"if": "none", "discard": "zz"}, "Invalid discard option"),
        ({"if": "none", "format": "raw"}, 'A block device must be specified for "file"'),
        ({"if": "none", "format": "nope"}, "Unknown driver 'nope'"),
        ({"if": "none", "file": "/nope"}, "Could not open '/nope': No such file or directory"),
        ({"if": "none", "id": "n0"}, "Device name 'n0' conflicts with an existing node name"),
        (
            {"if": "none", "file": "/x", "format": "raw", "foo": "1"},
            "Block format 'raw' does not support the option 'foo'",
        ),
        (
            {"if": "none", "file": "/x", "format": "raw", "snapshot": "on"},
            "a drive with 'snapshot' is not simulated by qemu-sim",
        ),
    ],
)
async def test_bad_drive_options_are_refused_as_qemu_does(board, values, text):
    with pytest.raises(QMPError) as caught:
        await board.drives.define({"id": "d0", **values}, "none0")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"bps": 1, "bps_rd": 1}, "bps/iops/max total values and read/write values cannot"),
        ({"bps": 1, "iops_size": 5}, "iops size requires an iops value to be set"),
        ({"bps": 9, "bps_max": 5}, "bps_max/iops_max cannot be lower than bps/iops"),
        ({"bps_max": 5}, "bps_max/iops_max require corresponding bps/iops values"),
        ({"bps": 1, "bps_max_length": 5}, "burst length set without burst rate"),
        ({"bps": 1, "bps_max_length": 0}, "the burst length cannot be 0"),
        ({"bps": -1}, "bps/iops/max values must be within [0, 1000000000000000]"),
    ],
)
def test_limits_are_checked(limits, text):
    from qemu_sim.block.limits import checked

    with pytest.raises(QMPError) as caught:
        checked(limits)
    assert str(caught.value).startswith(text)
