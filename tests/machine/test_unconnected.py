"""What leads nowhere is told at the start, in QEMU's order."""

import pytest

from qemu_sim.machine import unconnected
from qemu_sim.machine.board import Board
from qemu_sim.machine.buses import Buses
from qemu_sim.machine.options import MachineOptions


@pytest.fixture
async def make_board():
    boards = []

    async def make(netdevs, nics):
        board = Board(MachineOptions(), Buses("pc-q35-11.1"), lambda _kind, given, _typed: given)
        boards.append(board)
        for id, hub in netdevs.items():
            await board.netdevs.add("hubport", id, {"hubid": hub})
        for id, given in nics:
            await board.add_device("virtio-net-pci", id, given, hotplug=False)
        return board

    yield make
    for board in boards:
        board.close()


async def test_nothing_to_tell(make_board):
    assert not list(unconnected.warnings(await make_board({}, [])))


async def test_ports_of_hubs(make_board):
    board = await make_board({"b": 0, "a": 1, "c": 0}, [])
    assert list(unconnected.warnings(board)) == [
        "hub port a has no peer",
        "hub port c has no peer",
        "hub port b has no peer",
        *(f"netdev {id} has no peer" for id in "bac"),
    ]


async def test_a_hub_of_nics_is_an_island(make_board):
    board = await make_board({"n": 0, "m": 0}, [("nic0", {"netdev": "n"})])
    assert list(unconnected.warnings(board)) == [
        "hub port m has no peer",
        "hub 0 is not connected to host network",
        "netdev m has no peer",
    ]


async def test_a_nic_without_a_name_is_told_by_its_number(make_board):
    board = await make_board({}, [("x", {}), (None, {}), ("y", {}), (None, {})])
    assert list(unconnected.warnings(board)) == [
        f"nic {name} has no peer" for name in ("x", "virtio-net-pci.1", "y", "virtio-net-pci.3")
    ]
