"""Every type of device of both QEMUs, added to a machine without buses and to one with some.

tests/data/pluggable-VERSION.json.xz has what QEMU said to
`device_add driver=TYPE,id=d,zz=1` on `-machine none` and `-machine pc`.
"""

import json
import lzma
import pathlib

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.machine.board import Board
from qemu_sim.machine.buses import Buses
from qemu_sim.machine.options import MachineOptions
from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.device_properties import parse_device_properties

DATA = pathlib.Path(__file__).parents[1] / "data"
# Buses that pc has and that are not simulated.
ABSENT = ("Bus 'i2c'", "Bus 'main-system-bus'", "Bus 'floppy-bus.0'")


@pytest.fixture(params=["7.2", "11.1"])
def recorded(request):
    profile = profiles.load(request.param)
    with lzma.open(DATA / f"pluggable-{request.param}.json.xz") as file:
        return profile, json.load(file)


async def told(profile, machine_type, kind):
    def check(kind, given, typed):
        return parse_device_properties(profile, kind, given, typed=typed)

    options = MachineOptions(machine_type=machine_type)
    board = Board(options, Buses(machine_type), check, profile)
    with pytest.raises(QMPError) as error:
        await board.add_device(kind, "d", {"zz": 1}, hotplug=True)
    return str(error.value)


@pytest.mark.parametrize("machine_type", ["none", "pc"])
async def test_as_qemu(recorded, machine_type):
    profile, texts = recorded
    compared = 0
    for kind, text in texts[machine_type].items():
        if text.startswith(ABSENT) or ("dynamic sysbus" in text and machine_type == "pc"):
            continue
        assert await told(profile, machine_type, kind) == text, kind
        compared += 1
    assert compared > 290


async def test_what_is_only_a_part_cannot_be_there_from_the_start():
    profile = profiles.load("11.1")
    board = Board(MachineOptions(), Buses("pc"), lambda _kind, given, _typed: given, profile)
    with pytest.raises(QMPError, match="expects a pluggable device type"):
        await board.add_device("PIIX3", None, {}, hotplug=False)
    with pytest.raises(QMPError, match="device 'pxb' is not simulated by qemu-sim"):
        await board.add_device("pxb", None, {}, hotplug=False)
