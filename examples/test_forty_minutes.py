"""A migration of forty minutes, in a moment: time passes when the test says so."""

import pytest


@pytest.fixture
def qemu_sim_argv():
    return ["-machine", "q35", "-m", "64G", "-sim", "clock=manual,guest-ram-used=60G"]


def test_it_ends_when_the_guest_rests(machine_pair):
    source, destination = machine_pair
    source.execute("migrate-set-parameters", max_bandwidth=256 << 20)  # bytes a second
    source.set_guest(dirty_rate=1 << 30)  # more than that
    migration = source.start_migration(destination, backend_transfer=False)

    source.advance(36 * 60)
    assert source.query_migrate().status == "active"
    source.set_guest(dirty_rate=0)
    source.advance(5 * 60)

    assert migration.wait().source.status == "completed"
    assert migration.wait().source.total_time == pytest.approx(40 * 60_000, rel=0.01)
    assert destination.execute("query-status")["status"] == "running"
