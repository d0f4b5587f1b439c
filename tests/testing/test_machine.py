"""The machine that tests get, in either mode."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from qemu_sim.testing import MachineEnded, QMPError, StartFailed

SHARED_RAM = [
    *("-machine", "q35,memory-backend=ram", "-m", "64M"),
    *("-object", "memory-backend-memfd,id=ram,size=64M,share=on"),
]


@pytest.fixture(params=["in-process", "daemon"])
def qemu_sim_mode(request):
    return request.param


def disk_argv(disk, *, queues=1):
    return [
        *SHARED_RAM,
        *("-chardev", f"socket,id=char0,path={disk.path}"),
        *("-device", f"vhost-user-blk-pci,id=disk0,chardev=char0,num-queues={queues}"),
    ]


def test_arguments_are_keywords_or_a_dict(machine):
    machine.execute("chardev-add", {"id": "c0", "backend": {"type": "null", "data": {}}})
    machine.execute("chardev-remove", id="c0")
    machine.execute("add-fd", fdset_id=3, opaque="x", fds=[0])
    assert machine.execute("query-fdsets")[0]["fdset-id"] == 3
    machine.execute("remove-fd", {"fdset-id": 3})


def test_an_error_has_class_and_text(machine):
    with pytest.raises(
        QMPError, match=r"^The command no-such-command has not been found$"
    ) as caught:
        machine.execute("no-such-command")
    assert caught.value.class_ == "CommandNotFound"
    assert caught.value.desc == str(caught.value)
    with pytest.raises(QMPError, match="does not support OOB"):
        machine.execute_oob("query-status")


def test_descriptors_stay_the_callers(machine):
    ours, theirs = socket.socketpair()
    machine.send_fd("chan", theirs.fileno())
    theirs.close()
    ours.settimeout(0.05)
    with pytest.raises(TimeoutError):  # the machine holds the other end open
        ours.recv(1)
    machine.execute("closefd", fdname="chan")
    ours.settimeout(5)
    assert ours.recv(1) == b""
    ours.close()


def test_inherited_descriptors_are_given_away(make_machine):
    ours, theirs = socket.socketpair()
    number = theirs.detach()
    argv = ["-chardev", f"socket,id=c0,fd={number}"]
    machine = make_machine(*argv, pass_fds=[number])
    assert "c0" in [chardev["label"] for chardev in machine.execute("query-chardev")]
    machine.execute("quit")
    ours.settimeout(5)
    assert ours.recv(1) == b""
    ours.close()


def test_events_are_returned_once_and_kept(machine):
    for _ in range(2):
        machine.execute("stop")
        machine.execute("cont")
    first, second = machine.wait_event("STOP"), machine.wait_event("STOP")
    assert first["timestamp"] != second["timestamp"]
    with pytest.raises(TimeoutError, match=r"sent no event STOP within 0.01 s; seen: .*STOP"):
        machine.wait_event("STOP", timeout=0.01)
    assert [event["event"] for event in machine.events].count("STOP") == 2


def test_an_event_may_be_chosen_by_its_data(machine):
    machine.execute("quit")
    event = machine.wait_event("SHUTDOWN", guest=False, reason="host-qmp-quit")
    assert event["data"]["reason"] == "host-qmp-quit"
    assert machine.wait() == 0
    with pytest.raises(MachineEnded, match="machine 'vm0' has ended"):
        machine.wait_event("RESUME", guest=True)


async def test_clients_of_ones_own(machine):
    async with machine.client() as qmp:
        assert (await qmp.execute("query-status"))["status"] == "running"
    async with machine.client() as qmp:  # one after the other
        await qmp.execute("stop")
    assert await machine.aio.execute("query-status") == {"status": "paused", "running": False}


async def test_waiting_does_not_stop_the_callers_loop(machine):
    waiting = asyncio.create_task(machine.aio.wait_event("STOP"))
    await asyncio.sleep(0)
    machine.execute("stop")
    assert (await waiting)["event"] == "STOP"


def test_all_disks_move(make_machine, make_disk):
    disk = make_disk()
    source = make_machine(*disk_argv(disk))
    destination = make_machine(*disk_argv(disk), "-incoming", "defer")
    outcome = source.migrate_to(destination)
    moved = outcome.destination.devices["disk0"]
    assert (moved.outcome, moved.fds > 0) == ("transferred", True)
    assert moved.blackout_us >= 0
    assert outcome.source.devices.keys() == {"disk0"}
    assert outcome.source.status == source.query_migrate().status == "completed"
    assert destination.query_guest()["disk0"].errors == 0
    assert [entry["event"] for entry in disk.log].count("connect") == 1


def test_a_migration_is_taken_from_point_to_point(machine_pair):
    source, destination = machine_pair
    source.hold("answer-received")
    migration = source.start_migration(destination)
    source.wait_held("answer-received")
    assert [source.step() for _ in range(3)] == ["active", "before-stop", "stopped"]
    assert not source.execute("query-status")["running"]
    source.release()
    assert migration.wait().source.status == "completed"


async def test_a_coroutine_takes_it_from_point_to_point(machine_pair):
    source, destination = machine_pair
    source.hold("answer-received")
    migration = source.start_migration(destination)
    await source.aio.wait_held("answer-received")
    assert [await source.aio.step() for _ in range(2)] == ["active", "before-stop"]
    source.release()
    assert (await migration.ended()).source.status == "completed"


@pytest.fixture
def timed(make_machine):
    """A source whose time stands still and whose guest never lets it end, and its migration."""
    argv = ("-machine", "q35", "-m", "16G")
    source = make_machine(*argv, "-sim", "clock=manual")
    destination = make_machine(*argv, "-incoming", "defer")
    source.execute("migrate-set-parameters", max_bandwidth=100 << 20)
    source.set_guest(dirty_rate=1 << 30, ram_used=8 << 30)
    return source, source.start_migration(destination, backend_transfer=False)


def test_time_passes_when_the_test_says_so(timed):
    source, migration = timed
    source.advance(3600)
    report = source.query_migrate()
    assert (report.status, report.total_time) == ("active", 3_600_000)
    assert report.ram["dirty-sync-count"] > 10
    source.set_guest(dirty_rate=0)
    source.advance(0.5)
    assert source.query_migrate().total_time == 3_600_500
    source.advance(600)
    assert migration.wait().source.status == "completed"


async def test_time_passes_when_a_coroutine_says_so(timed):
    source, migration = timed
    await source.aio.advance(3600)
    assert source.query_migrate().total_time == 3_600_000
    await source.aio.set_guest(dirty_rate=0)
    await source.aio.advance(600)
    assert (await migration.ended()).source.status == "completed"


def test_a_migration_takes_a_number_of_looks(machine_pair):
    source, destination = machine_pair
    source.set_guest(migration_polls=2)
    migration = source.start_migration(destination)
    source.wait_event("MIGRATION", status="active")
    assert source.query_migrate().status == "active"
    source.query_migrate()
    assert migration.wait().source.status == "completed"


def test_real_time_cannot_be_advanced(machine):
    with pytest.raises(QMPError, match="The clock is not a manual one"):
        machine.advance(1)


def test_a_disk_is_used_until_told_otherwise(make_machine, make_disk):
    machine = make_machine(*disk_argv(make_disk()))
    machine.start_load("disk0", queue_depth=4, write=True)
    machine.stop_load("disk0")
    report = machine.query_guest()["disk0"]
    assert report.requests > 0
    assert report.errors == 0


def test_a_migration_is_held_and_goes_on(machine_pair):
    source, destination = machine_pair
    destination.hold("ready-sent")
    migration = source.start_migration(destination)
    destination.wait_held("ready-sent")
    assert source.execute("query-migrate")["status"] == "device"
    assert source.execute("query-status")["status"] == "finish-migrate"
    destination.release()
    assert migration.wait().destination.status == "completed"


def test_a_fault_ends_a_migration_and_the_next_one_works(machine_pair):
    source, destination = machine_pair
    source.inject("refuse", at="before-stop")
    failed = source.migrate_to(destination)
    assert (failed.source.status, failed.destination.status) == ("failed", "failed")
    assert failed.source.error_desc
    assert source.execute("query-status")["status"] == "running"


def test_a_refused_command_is_no_migration(machine_pair):
    source, destination = machine_pair
    with pytest.raises(QMPError, match="nowhere"):
        source.migrate_to(destination, devices=["nowhere"])
    assert source.query_migrate().status is None


def test_who_cannot_be_migrated_to_is_named(machine_pair):
    source, destination = machine_pair
    with pytest.raises(
        QMPError, match="machine 'source' cannot wait for a source: '-incoming' was"
    ):
        destination.migrate_to(source)


def test_a_killed_source(make_machine, qemu_sim_mode):
    source = make_machine(name="source")
    destination = make_machine("-incoming", "defer", name="destination")
    if qemu_sim_mode == "in-process":
        with pytest.raises(RuntimeError, match="'source' runs inside the test's process"):
            source.inject("die")
        return
    source.inject("die", at="before-stop")
    source.start_migration(destination)
    assert source.wait() == -9
    destination.wait_event("MIGRATION", status="failed")
    assert destination.execute("query-status")["status"] == "inmigrate"


def test_what_needs_a_process(make_machine, qemu_sim_mode, tmp_path):
    with pytest.raises(ValueError, match="-daemonize"):
        make_machine("-daemonize")
    pidfile = tmp_path / "pid"
    if qemu_sim_mode == "daemon":
        machine = make_machine("-pidfile", str(pidfile))
        assert int(pidfile.read_text()) == machine.pid
        return
    for argv in (
        ["-pidfile", str(pidfile)],
        ["-name", "a,process=b"],
        ["-sim", "fault=die"],
        ["-sim", "fault=refuse,fault=die@stopped"],
        ["-incoming", "cpr,addr.transport=socket,addr.type=unix,addr.path=x"],
    ):
        with pytest.raises(StartFailed, match="needs a process of its own"):
            make_machine(*argv)


def test_names_are_used_once(make_machine):
    make_machine(name="web")
    with pytest.raises(ValueError, match="has a machine 'web' already"):
        make_machine(name="web")


def test_an_end_that_does_not_come(machine):
    with pytest.raises(TimeoutError, match=r"'vm0' did not end by itself within 0.01 s"):
        machine.wait(timeout=0.01)


def test_closing_twice_is_closing_once(make_machine):
    machine = make_machine()
    assert machine.close() == []
    assert machine.close() == []
    assert not os.path.exists(machine.qmp_path)
