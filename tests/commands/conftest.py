"""A machine without QEMU's guest, and its commands, for the modules that ask for them."""

import asyncio

import pytest

from qemu_sim.commands import registry
from qemu_sim.machine.machine import Machine
from qemu_sim.machine.options import MachineOptions


@pytest.fixture
async def machine():
    made = Machine(MachineOptions(machine_type="q35"))
    made.told = []
    made.events.subscribe(lambda event: made.told.append((event["event"], event.get("data", {}))))
    yield made
    await made.close()


@pytest.fixture
def run(machine):
    """Run a command with arguments by their QMP names."""

    async def run(name, arguments=None):
        checked = machine.schema.check_arguments(name, arguments or {})
        result = registry.find(name).call(machine, None, checked)
        return await result if asyncio.iscoroutine(result) else result

    return run
