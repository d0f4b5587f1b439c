"""CPUs, as commands tell of them."""

import pytest

from qemu_sim.commands.cpu import query_cpus_fast
from qemu_sim.machine.machine import Machine
from qemu_sim.machine.options import MachineOptions


@pytest.mark.parametrize("profile", ["7.2", "11.1"])
@pytest.mark.parametrize(("machine_type", "count"), [("none", 0), ("x-remote", 0), ("q35", 1)])
async def test_a_machine_type_without_cpus_has_none(profile, machine_type, count):
    options = MachineOptions(machine_type=machine_type, memory_size=1 << 20, profile=profile)
    machine = Machine(options)
    try:
        assert len(query_cpus_fast(machine)) == count
    finally:
        await machine.close()
