"""Guest memory in files."""

import pytest

from qemu_sim.testing.client import QMPError

MIB = 1 << 20


@pytest.mark.parametrize("command", ["pmemsave", "memsave"])
def test_memory_ends_in_zeros(make_machine, tmp_path, command):
    machine = make_machine("-machine", "q35", "-m", "2")
    memory = machine.unwrapped.launch._host.machine.memory
    memory.write(2 * MIB - 3, b"end")
    path = tmp_path / "dump"
    machine.execute(command, val=MIB - 1, size=2 * MIB, filename=str(path))
    saved = path.read_bytes()
    assert len(saved) == 2 * MIB
    assert saved.rstrip(b"\0") == bytes(MIB - 2) + b"end"


def test_a_file_that_cannot_be_written(make_machine):
    machine = make_machine("-machine", "q35", "-m", "2")
    with pytest.raises(QMPError, match="Could not open '/no/such/x': No such file or directory"):
        machine.execute("pmemsave", val=0, size=1, filename="/no/such/x")


@pytest.mark.parametrize("size", [-1, 1 << 62])
def test_more_than_any_file_can_hold(make_machine, tmp_path, size):
    machine = make_machine("-machine", "q35", "-m", "2")
    with pytest.raises(QMPError, match=r"writing memory to '.*dump' failed"):
        machine.execute("pmemsave", val=0, size=size, filename=str(tmp_path / "dump"))


def test_what_is_behind_ram_takes_no_space(make_machine, tmp_path):
    machine = make_machine("-machine", "q35", "-m", "2")
    path = tmp_path / "dump"
    machine.execute("pmemsave", val=0, size=1 << 40, filename=str(path))
    assert path.stat().st_size == 1 << 40
    assert path.stat().st_blocks * 512 <= 4 * MIB


def test_zeros_go_into_what_is_no_file(make_machine):
    machine = make_machine("-machine", "none")
    assert machine.execute("pmemsave", val=0, size=10, filename="/dev/null") == {}
