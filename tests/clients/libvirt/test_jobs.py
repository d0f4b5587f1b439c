"""Domains that are saved, dumped and migrated, in time or not."""

import time
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.usefixtures("can_migrate")

SECONDS = 60


def test_a_saved_machine_goes_on(busy, tmp_path):
    """With its disk, which finds what the guest remembers having written."""
    with busy.knowing_migrate():
        busy.virsh("save", "guest", str(tmp_path / "saved"))
    assert busy.virsh("domstate", "guest") == "shut off"
    busy.virsh("restore", str(tmp_path / "saved"))
    assert busy.virsh("domstate", "guest") == "running"
    assert busy.moves_blocks()

    busy.virsh("managedsave", "guest")
    assert busy.virsh("domstate", "--reason", "guest") == "shut off (saved)"
    busy.virsh("start", "guest", "--paused")
    assert busy.virsh("domstate", "guest") == "paused"
    busy.virsh("resume", "guest")
    assert busy.moves_blocks()
    busy.virsh("destroy", "guest")


def test_a_dumped_machine_stays(busy, tmp_path):
    with busy.knowing_migrate():
        busy.virsh("dump", "guest", str(tmp_path / "dump"))
    assert (tmp_path / "dump").read_bytes()[:4] == b"QEVM"
    assert busy.moves_blocks()
    busy.virsh("destroy", "guest")


@pytest.mark.parametrize("live", [("--live",), ()], ids=["live", "stopped"])
def test_a_machine_moves_to_another_host(busy, other, live):
    with busy.knowing_migrate():
        busy.virsh("migrate", *live, "--unsafe", "guest", other.uri, "tcp://127.0.0.1")
    assert busy.virsh("domstate", "guest") == "shut off"
    assert other.virsh("domstate", "guest") == "running"
    assert other.moves_blocks()
    other.virsh("destroy", "guest")


@pytest.fixture
def endless(busy):
    """A running domain whose guest writes to RAM faster than any migration that is slowed down."""
    busy.qmp("x-sim-set-guest", **{"ram-used": 64 << 20, "dirty-rate": 1 << 30})
    return busy


@contextmanager
def _under_way(libvirt, *command):
    """Begin a job of libvirt's, and see it end."""
    process = libvirt.begin(*command)
    try:
        deadline = time.monotonic() + SECONDS
        while "Memory remaining" not in libvirt.virsh("domjobinfo", "guest"):
            assert time.monotonic() < deadline
            with libvirt.knowing_migrate():
                assert process.poll() is None, process.communicate()[1]
        yield process
        process.wait(SECONDS)
    finally:
        process.kill()
        process.communicate()


def _migrate(other, *options):
    return ("migrate", "--live", "--unsafe", *options, "guest", other.uri, "tcp://127.0.0.1")


def test_a_migration_is_aborted(endless, other):
    with _under_way(endless, *_migrate(other, "--bandwidth", "1")) as migration:
        endless.virsh("migrate-setspeed", "guest", "2")
        assert endless.virsh("migrate-getspeed", "guest") == "2"
        endless.virsh("migrate-setmaxdowntime", "guest", "100")
        assert endless.virsh("migrate-getmaxdowntime", "guest") == "100"
        endless.virsh("domjobabort", "guest")
        assert "canceled by client" in migration.communicate(timeout=SECONDS)[1]
    assert migration.returncode == 1
    assert endless.virsh("domstate", "guest") == "running"
    assert other.virsh("list", "--all", "--name") == ""
    assert endless.moves_blocks()
    assert endless.qmp("query-migrate")["status"] == "cancelled"


def test_a_save_is_aborted(busy, tmp_path):
    busy.qmp("x-sim-migration-hold", at="active")
    with _under_way(busy, "save", "guest", str(tmp_path / "saved")) as save:
        busy.virsh("domjobabort", "guest")
        assert "canceled by client" in save.communicate(timeout=SECONDS)[1]
    assert busy.virsh("domstate", "guest") == "running"
    assert busy.moves_blocks()


def test_a_migration_that_takes_too_long_stops_the_guest(endless, other):
    with _under_way(endless, *_migrate(other, "--bandwidth", "20", "--timeout", "1")) as migration:
        migration.wait(SECONDS)
    assert migration.returncode == 0
    assert other.virsh("domstate", "guest") == "running"
    other.virsh("destroy", "guest")


def test_a_migration_ends_in_postcopy(endless, other):
    with _under_way(endless, *_migrate(other, "--bandwidth", "1", "--postcopy")) as migration:
        endless.virsh("migrate-postcopy", "guest")
        migration.wait(SECONDS)
    assert migration.returncode == 0
    assert other.moves_blocks()
    other.virsh("destroy", "guest")
