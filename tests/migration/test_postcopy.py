"""Postcopy: the destination runs before it has everything, and a broken channel is a pause."""

from __future__ import annotations

import asyncio

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.io.address import UnixAddress
from qemu_sim.migration.postcopy_source import PAUSED_BY_USER
from qemu_sim.migration.transports.socket import SocketTransport

ALIVE = ("postcopy-active", "postcopy-recover")
OLD = frozenset({"setup", "active", "postcopy-active", "completed", "failed"})
SWITCHED = ["setup", "active", "STOP", "device", "postcopy-device", "postcopy-active"]
STARTED = ["setup", "active", "postcopy-device", "postcopy-active", "continue running"]


def unix(path):
    return SocketTransport(UnixAddress(str(path)))


@pytest.fixture
async def pair(make_pair):
    made = await make_pair(shared=False)
    for side in (made.source, made.destination):
        side.capabilities.names.add("postcopy-ram")
    return made


async def begin(pair):
    """Start a migration and ask for postcopy while it is active."""
    pair.source.hooks.hold("active")
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.source.held.get() == "active"
    pair.source.migration.start_postcopy()
    pair.source.hooks.release()


async def in_postcopy(pair):
    """Start a migration that is held when the destination runs and more of RAM is to come."""
    await begin(pair)
    pair.source.hooks.hold("postcopy-active")
    assert await pair.source.held.get() == "postcopy-active"
    await pair.destination.until("postcopy-active")
    assert pair.source.log == SWITCHED


async def test_it_ends_as_any_migration_does(pair):
    pair.source.memory.write(9000, b"kept")
    await in_postcopy(pair)
    assert pair.destination.memory.read(9000, 4) == b"kept"
    assert pair.source.state_name == "finish-migrate"
    with pytest.raises(QMPError, match="Postcopy migration in progress, cannot cancel"):
        pair.source.migration.cancel()
    pair.source.hooks.release()
    assert await pair.ended() == ("completed", "completed")
    assert pair.source.log == [*SWITCHED, "completed"]
    assert pair.destination.log == [*STARTED, "completed"]
    assert pair.source.state_name == "postmigrate"
    assert pair.source.serving == []


async def test_a_destination_tells_how_long_its_cpus_waited_for_pages(pair):
    pair.destination.capabilities.names.add("postcopy-blocktime")
    await in_postcopy(pair)
    assert "postcopy-blocktime" not in pair.destination.migration.query()
    pair.source.hooks.release()
    await pair.ended()
    assert pair.destination.migration.query() == {
        "status": "completed",
        "postcopy-blocktime": 0,
        "postcopy-vcpu-blocktime": [0, 0],
        "postcopy-latency": 0,
        "postcopy-latency-dist": [0] * 24,
        "postcopy-vcpu-latency": [0, 0],
        "postcopy-non-vcpu-latency": 0,
    }
    assert "postcopy-blocktime" not in pair.source.migration.query()


async def test_an_older_qemu_switches_over_otherwise(pair):
    for side in (pair.source, pair.destination):
        side.migration.status._known = lambda: OLD
    await begin(pair)
    assert await pair.ended() == ("completed", "completed")
    order = ["setup", "active", "postcopy-active", "STOP", "completed"]
    assert pair.source.log == order
    order = ["setup", "active", "postcopy-active", "continue running", "completed"]
    assert pair.destination.log == order


async def test_without_being_asked_for_it_is_none(pair):
    pair.listen()
    pair.migrate(hand_over=False)
    assert await pair.ended() == ("completed", "completed")
    assert "postcopy-active" not in pair.source.log


async def test_asked_for_too_early(pair):
    with pytest.raises(QMPError, match="Postcopy must be started after migration has been started"):
        pair.source.migration.start_postcopy()


async def test_a_pause_and_a_new_channel(pair, tmp_path):
    await in_postcopy(pair)
    assert pair.source.migration.pause(ALIVE)
    pair.source.hooks.release()
    await pair.source.until("postcopy-paused")
    await pair.destination.until("postcopy-paused")
    assert pair.source.migration.query()["error-desc"] == PAUSED_BY_USER
    assert not pair.source.migration.pause(ALIVE)
    assert pair.destination.state_name == "running"

    pair.source.migration.resume(unix(tmp_path / "nobody"), pair.access)
    assert pair.source.log[-1] == "postcopy-recover-setup"
    await pair.source.until("postcopy-paused")
    assert "No such file" in pair.source.migration.query()["error-desc"]

    again = unix(tmp_path / "again")
    pair.destination.migration.recover(lambda: again, pair.access)
    pair.source.migration.resume(again, pair.access)
    assert await pair.ended() == ("completed", "completed")
    tail = ["postcopy-recover-setup", "postcopy-recover", "postcopy-active", "completed"]
    assert pair.source.log[-4:] == tail
    assert pair.destination.log[-3:] == tail[1:]
    assert "error-desc" not in pair.source.migration.query()


async def test_the_destination_may_pause_too(pair):
    await in_postcopy(pair)
    assert pair.destination.migration.pause(ALIVE)
    await pair.destination.until("postcopy-paused")
    pair.source.hooks.release()
    await pair.source.until("postcopy-paused")
    assert pair.destination.migration.query()["error-desc"] == PAUSED_BY_USER


async def test_only_what_is_paused_is_recovered(pair, tmp_path):
    again = unix(tmp_path / "again")
    with pytest.raises(QMPError, match="Migrate recover can only be run when postcopy"):
        pair.destination.migration.recover(lambda: again, pair.access)
    with pytest.raises(QMPError, match="Cannot resume if there is no paused migration"):
        pair.source.migration.resume(again, pair.access)
    await in_postcopy(pair)
    with pytest.raises(QMPError, match="Migrate recover can only be run when postcopy"):
        pair.destination.migration.recover(lambda: again, pair.access)


async def test_a_destination_that_cannot_load_the_package_has_not_started(pair):
    def load(state):
        raise ValueError(state)

    pair.destination.devices[0].load = load
    await begin(pair)
    assert await pair.ended() == ("failed", "failed")
    assert pair.source.state_name == "running"
    assert pair.destination.state_name == "inmigrate"


@pytest.mark.parametrize("side", ["source", "destination"])
async def test_a_machine_may_end_in_the_middle(pair, side):
    await in_postcopy(pair)
    pair.source.migration.pause(ALIVE)
    pair.source.hooks.release()
    await asyncio.gather(
        pair.source.until("postcopy-paused"), pair.destination.until("postcopy-paused")
    )
    await getattr(pair, side).migration.close()
