"""Guest memory as a core file; the layout is what QEMU 7.2.22 and 11.1.3 wrote."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd
from qemu_sim.machine.core_dump import Range
from qemu_sim.machine.machine import Machine
from qemu_sim.machine.options import MachineOptions

MIB = 1 << 20
NOTES = 0x270  # bytes a CPU
SIGNATURE = 0x60FB1


@pytest.fixture
async def make():
    made = []

    def make(**options):
        machine = Machine(MachineOptions(**options))
        machine.told = []
        machine.events.subscribe(lambda event: machine.told.append(event["event"]))
        made.append(machine)
        return machine

    yield make
    for machine in made:
        await machine.close()


async def dump(machine, path, *wanted, cpus=1):
    fd = Fd(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC))
    machine.core_dump.start(fd, Range(*wanted), cpus, SIGNATURE)
    await machine.core_dump.wait()


def loads(path):
    """Address and length of each block, and its place in the file, as readelf sees it."""
    program = shutil.which("readelf")
    if program is None:
        pytest.skip("readelf is not installed")
    done = subprocess.run([program, "-lW", path], check=True, capture_output=True, text=True)
    found = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("LOAD")]
    return [(int(row[3], 16), int(row[4], 16), int(row[1], 16)) for row in found]


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("q35", 64 * MIB, [(0x100000, 63 * MIB)]),
        ("pc", 3584 * MIB, [(0x100000, 3071 * MIB), (1 << 32, 512 * MIB)]),
        ("q35", 4096 * MIB, [(0x100000, 2047 * MIB), (1 << 32, 2048 * MIB)]),
    ],
)
async def test_memory_is_where_a_pc_has_it(make, tmp_path, kind, size, expected):
    machine = make(machine_type=kind, memory_size=size)
    await dump(machine, tmp_path / "core")
    found = [(address, length) for address, length, _ in loads(tmp_path / "core")]
    first = [(0, 0xC0000), (0xC0000, 0x20000), (0xE0000, 0x20000)]
    rom = [(0xFFFC0000, 0x40000)]
    assert found == sorted(first + rom + expected)
    assert machine.core_dump.to_qapi()["total"] == size + 0x40000
    assert os.stat(tmp_path / "core").st_blocks * 512 < 8 * MIB  # holes stay holes


async def test_what_the_guest_has_written_is_in_it(make, tmp_path):
    machine = make(machine_type="q35", memory_size=4096 * MIB)
    machine.memory.write(5 * MIB + 7, b"low")
    machine.memory.write(2048 * MIB + 7, b"high")
    await dump(machine, tmp_path / "core")
    data = {address: at for address, _, at in loads(tmp_path / "core")}
    core = os.open(tmp_path / "core", os.O_RDONLY)
    assert os.pread(core, 3, data[0x100000] + 4 * MIB + 7) == b"low"
    assert os.pread(core, 4, data[1 << 32] + 7) == b"high"
    os.close(core)


async def test_a_part_and_as_many_notes_as_cpus(make, tmp_path):
    machine = make(machine_type="q35", memory_size=64 * MIB)
    await dump(machine, tmp_path / "core", 4096, 8192, cpus=3)
    assert loads(tmp_path / "core") == [(4096, 8192, 0x130 + 3 * NOTES)]


async def test_the_guest_stands_still_meanwhile(make, tmp_path):
    machine = make(machine_type="q35", memory_size=64 * MIB)
    await machine.start()
    machine.told.clear()
    fd = Fd(os.open(tmp_path / "core", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC))
    machine.core_dump.start(fd, Range(), 1, SIGNATURE)
    assert machine.state_name == "save-vm"
    with pytest.raises(QMPError, match="There is a dump in process, please wait"):
        machine.core_dump.check()
    await machine.core_dump.wait()
    assert machine.state_name == "running"
    assert machine.told == ["STOP", "DUMP_COMPLETED", "RESUME"]


async def test_through_a_pipe_the_same_bytes_come(make, tmp_path):
    machine = make(machine_type="q35", memory_size=2 * MIB)
    machine.memory.write(MIB + 5, b"here")
    await dump(machine, tmp_path / "core")
    source, sink = os.pipe()
    machine.core_dump.start(Fd(sink), Range(), 1, SIGNATURE)
    with os.fdopen(source, "rb") as pipe:
        received, _ = await asyncio.gather(asyncio.to_thread(pipe.read), machine.core_dump.wait())
    assert received == (tmp_path / "core").read_bytes()


async def test_a_reader_that_leaves_fails_it(make):
    machine = make(machine_type="q35", memory_size=2 * MIB)
    source, sink = os.pipe()
    os.close(source)
    machine.core_dump.start(Fd(sink), Range(), 1, SIGNATURE)
    with pytest.raises(QMPError, match="dump: failed to save memory: Broken pipe"):
        await machine.core_dump.wait()
    assert machine.core_dump.to_qapi()["status"] == "failed"


async def test_nothing_to_dump(make, tmp_path):
    machine = make(machine_type="none")
    with pytest.raises(QMPError, match="dump: no guest memory to dump"):
        await dump(machine, tmp_path / "core")
