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
