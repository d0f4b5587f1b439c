"""Which disk a machine boots from, and what of that goes along in a migration."""

import pytest

from qemu_sim.backends.chardev_file import ChardevFile
from qemu_sim.clock import ManualClock
from qemu_sim.guest import boot_sector
from qemu_sim.guest.page_writer import FIRST, ROUND
from qemu_sim.machine.board import Board
from qemu_sim.machine.buses import Buses
from qemu_sim.machine.firmware import Firmware
from qemu_sim.machine.options import MachineOptions
from qemu_sim.migration.guest_load import GuestLoad

OTHER = b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa"


class Rest:
    """What a board lacks to be a machine with firmware."""

    throttle = 0

    def __init__(self, board, clock):
        self.memory, self.clock = board.memory, clock
        self.guest_load = GuestLoad()


class World:
    """Boards with disks; each has a serial port that leads to a file."""

    def __init__(self, directory):
        self._directory = directory
        self.clock = ManualClock()
        self.serial = directory / "serial"
        self._boards = []

    async def board(self, *sectors, **options):
        board = Board(
            MachineOptions(machine_type="pc-q35-11.1", **options),
            Buses("pc-q35-11.1"),
            lambda _kind, given, _typed: given,
        )
        self._boards.append(board)
        await board.chardevs.plug_serial(ChardevFile("serial0", {"out": str(self.serial)}))
        board.make_firmware = lambda: Firmware(
            Rest(board, self.clock),
            board.chardevs.serial,
            lambda: pytest.fail("nobody suspends here"),
        )
        for number, sector in enumerate(sectors):
            path = self._directory / f"disk{number}"
            path.write_bytes(sector)
            node = {"driver": "file", "filename": str(path), "node-name": f"n{number}"}
            await board.graph.add(node)
            await board.add_device(
                "ide-hd", None, {"drive": f"n{number}", "bus": f"ide.{number}"}, hotplug=False
            )
        return board

    def close(self):
        for board in self._boards:
            board.chardevs.serial.close()
            board.close()


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


def run(board):
    for device in board.devices:
        device.run()


async def test_the_first_disk_with_a_known_boot_sector_is_booted_from(world, caplog):
    board = await world.board(OTHER, boot_sector.PAGE_WRITER, boot_sector.PAGE_WRITER)
    run(board)
    await world.clock.advance(2 * ROUND)
    assert board.memory.read(FIRST, 1) == b"\2"
    assert world.serial.read_bytes() == b"A"
    saved = [bool(device.save()) for device in board.devices]
    assert saved == [False, True, False]
    assert "not booted from 'n2'" in caplog.text


@pytest.mark.parametrize("sector", [OTHER, boot_sector.PAGE_WRITER[:511] + b"\0", b""])
async def test_other_disks_start_nothing(world, sector):
    board = await world.board(sector)
    run(board)
    assert world.serial.read_bytes() == b""
    assert board.devices[0].save() == {}


async def test_what_arrives_goes_on_and_boots_nothing(world):
    source = await world.board(boot_sector.PAGE_WRITER)
    run(source)
    await world.clock.advance(ROUND)
    source.devices[0].halt()
    destination = await world.board(boot_sector.PAGE_WRITER, incoming=True)
    destination.devices[0].load(source.devices[0].save())
    run(destination)
    await world.clock.advance(ROUND)
    assert destination.memory.read(FIRST, 1) == b"\1"  # nobody copied RAM
    assert world.serial.read_bytes() == b""


async def test_a_machine_that_waited_for_a_migration_boots_nothing(world):
    board = await world.board(boot_sector.PAGE_WRITER, incoming=True)
    run(board)
    assert world.serial.read_bytes() == b""


async def test_a_reset_starts_the_program_anew(world):
    board = await world.board(boot_sector.PAGE_WRITER)
    run(board)
    await world.clock.advance(3 * ROUND)
    board.devices[0].reset()
    await world.clock.advance(ROUND)
    assert board.memory.read(FIRST, 1) == b"\1"
    assert world.serial.read_bytes() == b"AA"
