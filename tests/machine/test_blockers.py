"""Why RAM cannot be left to another process, as QEMU 11.1.3 tells it with -nodefaults."""

from __future__ import annotations

import re

import pytest

from qemu_sim.commands.migration import query_migrate
from qemu_sim.errors import QMPError
from qemu_sim.machine.machine import Machine
from qemu_sim.machine.options import MachineOptions

MIB = 1 << 20
FIRMWARE = ["pc.bios", "pc.rom"]
TABLES = ["/rom@etc/acpi/tables", "/rom@etc/table-loader", "/rom@etc/acpi/rsdp"]


@pytest.fixture
async def make():
    made = []

    def make(machine_type, *, share=None, auxiliary=False):
        backend = None if share is None else "ram"
        options = MachineOptions(
            machine_type=machine_type,
            memory_size=MIB,
            memory_backend=backend,
            properties={"aux-ram-share": True} if auxiliary else {},
        )
        machine = Machine(options)
        made.append(machine)
        if backend is not None:
            values = {"size": MIB, "share": share}
            machine.board.add_object("memory-backend-memfd", backend, values)
        machine.parameters.set({"mode": "cpr-transfer"})
        return machine

    yield make
    for machine in made:
        await machine.close()


@pytest.mark.parametrize(
    ("machine_type", "more", "names"),
    [
        ("pc", {}, ["pc.ram", *FIRMWARE, *TABLES]),
        ("q35", {"share": True}, [*FIRMWARE, *TABLES]),
        ("q35", {"share": False, "auxiliary": True}, ["ram"]),
        ("q35", {"share": True, "auxiliary": True}, []),
        ("none", {}, []),
    ],
)
async def test_which_regions_are_in_the_way(make, machine_type, more, names):
    machine = make(machine_type, **more)
    reasons = [
        f"Memory region {name} is not compatible with CPR. share=on is required for "
        "memory-backend objects, and aux-ram-share=on is required."
        for name in names
    ]
    assert query_migrate(machine).get("blocked-reasons", []) == reasons
    if not reasons:
        machine.admission.check_may_migrate()
        return
    with pytest.raises(QMPError, match=f"^{re.escape(reasons[-1])}$"):
        machine.admission.check_may_migrate()


@pytest.mark.parametrize("mode", ["normal", "cpr-reboot"])
async def test_other_modes_copy_it(make, mode):
    machine = make("pc")
    machine.parameters.set({"mode": mode})
    assert query_migrate(machine) == {}
    machine.admission.check_may_migrate()


@pytest.mark.parametrize(
    ("capability", "words"),
    [("postcopy-ram", "postcopy"), ("background-snapshot", "background snapshot")],
)
async def test_what_no_such_migration_can_have(make, capability, words):
    machine = make("none")
    machine.capabilities.set([{"capability": capability, "state": True}])
    with pytest.raises(QMPError, match=f"^Cannot use {words} with CPR$"):
        machine.admission.check_may_migrate()


async def test_the_next_program_must_be_named_and_needs_a_process(make):
    machine = make("none")
    machine.parameters.set({"mode": "cpr-exec"})
    with pytest.raises(QMPError, match=r"^cpr-exec mode requires setting cpr-exec-command$"):
        machine.admission.check_may_migrate()
    machine.parameters.set({"cpr-exec-command": ["true"]})
    with pytest.raises(QMPError, match=r"^cpr-exec needs a process of its own"):
        machine.admission.check_may_migrate()
