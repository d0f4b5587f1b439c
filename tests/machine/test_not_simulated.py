"""A machine refuses to migrate, on either side, with settings that it would ignore."""

import pytest

from qemu_sim.commands.migration import migrate_set_capabilities
from qemu_sim.errors import QMPError
from qemu_sim.machine.machine import Machine
from qemu_sim.machine.options import MachineOptions

MIB = 1 << 20
SNAPSHOT = [{"capability": "background-snapshot", "state": True}]
MULTIFD = [{"capability": "multifd", "state": True}]


@pytest.fixture
async def machine():
    made = Machine(MachineOptions(memory_size=MIB))
    yield made
    await made.close()


@pytest.fixture
async def waiting():
    made = Machine(MachineOptions(memory_size=MIB, incoming=True))
    yield made
    await made.close()


async def test_the_source_names_them_all(machine):
    machine.admission.check_may_migrate()
    machine.capabilities.set(SNAPSHOT)
    machine.parameters.set({"tls-creds": "tls0"})
    text = r"^Migration with background-snapshot, tls-creds=tls0 is not simulated by qemu-sim$"
    with pytest.raises(QMPError, match=text):
        machine.admission.check_may_migrate()


async def test_the_destination_does_not_listen(waiting, tmp_path):
    waiting.capabilities.set(SNAPSHOT)
    socket = tmp_path / "in.sock"
    text = r"^Migration with background-snapshot is not simulated by qemu-sim$"
    with pytest.raises(QMPError, match=text):
        await waiting.admission.listen(f"unix:{socket}", None, None, exit_on_error=True)
    assert not socket.exists()


async def test_what_qemu_refuses_itself_comes_first(waiting):
    waiting.capabilities.set(MULTIFD)
    with pytest.raises(QMPError, match=r"^Guest is waiting for an incoming migration$"):
        waiting.admission.check_may_migrate()


async def test_a_destination_that_listens_takes_capabilities_still(waiting, tmp_path):
    await waiting.admission.listen(f"unix:{tmp_path}/in.sock", None, None, exit_on_error=True)
    events = [{"capability": "events", "state": True}]
    migrate_set_capabilities(waiting, capabilities=events)
    assert waiting.capabilities.enabled("events")
    with pytest.raises(QMPError, match=r"^Multifd must be set before incoming starts$"):
        migrate_set_capabilities(waiting, capabilities=MULTIFD)
    with pytest.raises(QMPError, match=r"^Guest is waiting for an incoming migration$"):
        waiting.admission.check_may_migrate()
