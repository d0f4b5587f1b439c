"""Block commands on a machine without QEMU's guest: nodes, jobs, transactions, media.

The events and texts are those of QEMU 11.1.3.
"""

import asyncio

import pytest

from qemu_sim.block.backend import Backend
from qemu_sim.block.permissions import WRITE, Claim
from qemu_sim.errors import DeviceNotActive, DeviceNotFound, MigrationError, QMPError
from qemu_sim.machine.machine import Machine
from qemu_sim.machine.options import MachineOptions


def file(path):
    return {"driver": "file", "filename": str(path)}


def statuses(machine):
    return [data["status"] for name, data in machine.told if name == "JOB_STATUS_CHANGE"]


async def settle(machine, *statuses):
    """Wait until every job is in one of these states, or forgotten."""
    wanted = statuses or ("ready", "pending", "concluded")
    for _ in range(1000):
        if all(job.status in wanted for job in machine.jobs.listed()):
            return
        await asyncio.sleep(0)
    raise AssertionError([job.describe() for job in machine.jobs.listed()])


@pytest.fixture
async def images(run, tmp_path):
    """Nodes `src` (with data) and `dst` (empty), raw images of a mebibyte."""
    (tmp_path / "src").write_bytes(b"data" * (1 << 18))
    (tmp_path / "dst").write_bytes(bytes(1 << 20))
    for name in ("src", "dst"):
        await run(
            "blockdev-add", {"driver": "raw", "node-name": name, "file": file(tmp_path / name)}
        )
    return tmp_path


@pytest.fixture
async def disk(run, images, machine):
    """A disk on `src`."""
    await machine.board.add_device("virtio-blk-pci", "vd0", {"drive": "src"}, hotplug=False)


async def inserted(run):
    (drive,) = await run("query-block")
    return drive["inserted"]["node-name"]


async def test_blockdev_create_is_a_job(run, machine, tmp_path):
    options = {"driver": "file", "filename": str(tmp_path / "new"), "size": 4096}
    await run("blockdev-create", {"job-id": "j", "options": options})
    await settle(machine)
    assert statuses(machine) == ["created", "running", "waiting", "pending", "concluded"]
    (job,) = await run("query-jobs")
    assert job == {
        "id": "j",
        "type": "create",
        "status": "concluded",
        "current-progress": 1,
        "total-progress": 1,
    }
    await run("job-dismiss", {"id": "j"})
    assert await run("query-jobs") == []
    assert (tmp_path / "new").stat().st_size == 4096


async def test_a_mirror_takes_the_place_of_its_source(run, machine, images, disk):
    await run(
        "blockdev-mirror",
        {"job-id": "m", "device": "src", "target": "dst", "sync": "full", "auto-dismiss": False},
    )
    await settle(machine)
    (job,) = await run("query-block-jobs")
    assert (job["status"], job["ready"], job["len"]) == ("ready", True, 1 << 20)
    with pytest.raises(
        QMPError, match="'src' is busy: block device is in use by block job: mirror"
    ):
        await run("block_resize", {"node-name": "src", "size": 512})
    await run("job-complete", {"id": "m"})
    await settle(machine, "concluded")
    assert statuses(machine)[2:] == ["ready", "waiting", "pending", "concluded"]
    assert await inserted(run) == "dst"
    assert (images / "dst").read_bytes() == (images / "src").read_bytes()
    await run("blockdev-del", {"node-name": "src"})


async def test_a_mirror_pauses_for_a_moment_when_the_guest_stops(run, machine, images):
    await run("blockdev-mirror", {"job-id": "m", "device": "src", "target": "dst", "sync": "full"})
    await settle(machine)
    await machine.start()
    del machine.told[:]
    await run("stop")
    assert [name for name, _ in machine.told] == ["STOP", *["JOB_STATUS_CHANGE"] * 2]
    assert statuses(machine) == ["standby", "ready"]
    await run("stop")  # it has stopped
    assert len(machine.told) == 3


async def test_a_cancelled_mirror_changes_nothing(run, machine, images, disk):
    await run("blockdev-mirror", {"job-id": "m", "device": "src", "target": "dst", "sync": "full"})
    await settle(machine)
    await run("block-job-cancel", {"device": "m"})
    await settle(machine, "concluded")
    assert statuses(machine)[-1] == "null"
    assert await inserted(run) == "src"
    await run("blockdev-del", {"node-name": "dst"})


async def test_a_backup_in_a_transaction_starts_with_it(run, machine, images):
    data = {"job-id": "b", "device": "src", "target": "dst", "sync": "full"}
    await run("transaction", {"actions": [{"type": "blockdev-backup", "data": data}]})
    assert statuses(machine) == ["created", "running", "paused", "running"]
    await settle(machine)
    assert (images / "dst").read_bytes() == (images / "src").read_bytes()


async def test_a_failed_transaction_leaves_nothing(run, machine, images):
    backup = {"job-id": "b", "device": "src", "target": "dst", "sync": "full"}
    actions = [
        {"type": "block-dirty-bitmap-add", "data": {"node": "src", "name": "t"}},
        {"type": "blockdev-backup", "data": backup},
        {"type": "abort", "data": {}},
    ]
    with pytest.raises(QMPError, match="Transaction aborted using Abort action"):
        await run("transaction", {"actions": actions})
    assert statuses(machine) == ["created", "aborting", "concluded", "null"]
    with pytest.raises(QMPError, match="Dirty bitmap 't' not found"):
        await run("block-dirty-bitmap-remove", {"node": "src", "name": "t"})


async def test_a_snapshot_goes_on_top(run, machine, images, disk):
    overlay = images / "overlay"
    overlay.touch()
    options = {"driver": "qcow2", "file": file(overlay), "size": 1 << 20}
    await run("blockdev-create", {"job-id": "c", "options": options})
    await settle(machine)
    node = {"driver": "qcow2", "node-name": "top", "backing": None, "file": file(overlay)}
    await run("blockdev-add", node)
    with pytest.raises(QMPError, match="The overlay does not support backing images"):
        await run("blockdev-snapshot", {"node": "src", "overlay": "dst"})
    await run("blockdev-snapshot", {"node": "src", "overlay": "top"})
    assert await inserted(run) == "top"
    await run("block-commit", {"job-id": "k", "device": "top"})
    await settle(machine)
    await run("job-complete", {"id": "k"})
    await settle(machine, "concluded")
    assert await inserted(run) == "src"


async def test_bitmaps_are_listed(run, images):
    await run("block-dirty-bitmap-add", {"node": "src", "name": "b", "disabled": True})
    node = next(each for each in await run("query-named-block-nodes") if each["node-name"] == "src")
    assert node["dirty-bitmaps"] == [
        {
            "name": "b",
            "recording": False,
            "persistent": False,
            "busy": False,
            "granularity": 65536,
            "count": 0,
        }
    ]


async def test_media_come_and_go(run, machine, images):
    await machine.board.add_device("ide-cd", "cd0", {"drive": "src"}, hotplug=False)
    with pytest.raises(QMPError, match="Tray of device 'cd0' is not open"):
        await run("blockdev-remove-medium", {"id": "cd0"})
    await run("eject", {"id": "cd0"})
    await run("blockdev-insert-medium", {"id": "cd0", "node-name": "dst"})
    with pytest.raises(QMPError, match="Node 'dst' is already in use"):
        await run("blockdev-insert-medium", {"id": "cd0", "node-name": "dst"})
    await run("blockdev-close-tray", {"id": "cd0"})
    await run("blockdev-change-medium", {"id": "cd0", "filename": str(images / "src")})
    (drive,) = await run("query-block")
    assert drive["inserted"]["file"] == str(images / "src")
    moves = [data["tray-open"] for name, data in machine.told if name == "DEVICE_TRAY_MOVED"]
    assert moves == [True, False, True, False]


async def test_limits_are_shown(run, disk):
    id = "/machine/peripheral/vd0/virtio-backend"
    limits = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
    await run("block_set_io_throttle", {"id": id, **limits, "bps": 1000})
    (drive,) = await run("query-block")
    assert (drive["inserted"]["bps"], drive["inserted"]["group"]) == (1000, id)


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "text"),
    [
        ("block-job-cancel", {"device": "z"}, DeviceNotActive, "Block job 'z' not found"),
        ("job-cancel", {"id": "z"}, QMPError, "Job not found"),
        ("eject", {}, QMPError, "Need exactly one of 'device' and 'id'"),
        ("eject", {"id": "z"}, DeviceNotFound, "Device 'z' not found"),
        (
            "block-stream",
            {"job-id": "s", "device": "z"},
            QMPError,
            "Cannot find device='z' nor node-name='z'",
        ),
        ("block-commit", {"job-id": "s", "device": "z"}, DeviceNotFound, "Device 'z' not found"),
        (
            "block-commit",
            {"job-id": "s", "device": "src"},
            QMPError,
            "cannot commit an image into itself",
        ),
        (
            "blockdev-mirror",
            {"device": "src", "target": "dst", "sync": "full"},
            QMPError,
            "Invalid job ID ''",
        ),
        (
            "blockdev-mirror",
            {"job-id": "m", "device": "src", "target": "src", "sync": "full"},
            QMPError,
            "Can't mirror node into itself",
        ),
        (
            "blockdev-backup",
            {"job-id": "m", "device": "src", "target": "dst", "sync": "incremental"},
            QMPError,
            "must provide a valid bitmap name for 'incremental' sync mode",
        ),
        (
            "block_resize",
            {"node-name": "z", "size": 512},
            QMPError,
            "Cannot find device='' nor node-name='z'",
        ),
        (
            "block-set-write-threshold",
            {"node-name": "z", "write-threshold": 5},
            QMPError,
            "Device 'z' not found",
        ),
    ],
)
@pytest.mark.usefixtures("images")
async def test_errors_are_qemus(run, name, arguments, kind, text):
    with pytest.raises(kind) as caught:
        await run(name, arguments)
    assert str(caught.value) == text


async def test_a_snapshot_in_a_file_holds_what_is_written_from_then_on(run, machine, images, disk):
    path = images / "snapshot"
    given = {"node-name": "src", "snapshot-file": str(path), "snapshot-node-name": "over"}
    await run("blockdev-snapshot-sync", given)
    assert await inserted(run) == "over"
    over = machine.board.graph.node("over")
    over.write(0, b"new!")
    assert over.read(0, 8) == b"new!data"
    assert (images / "src").read_bytes()[:8] == b"datadata"
    assert path.read_bytes()[:4] == b"QFI\xfb"


async def test_a_snapshot_that_fails_leaves_no_node(run, machine, images, disk):
    before = list(machine.board.graph.nodes)
    given = {"node-name": "src", "snapshot-file": str(images / "x"), "snapshot-node-name": "over"}
    actions = [{"type": "blockdev-snapshot-sync", "data": given}, {"type": "abort", "data": {}}]
    with pytest.raises(QMPError, match="aborted"):
        await run("transaction", {"actions": actions})
    assert list(machine.board.graph.nodes) == before
    assert await inserted(run) == "src"
    assert not machine.board.graph.node("src").read_only


async def test_a_mirror_into_a_file_takes_the_place_of_its_source(run, machine, images, disk):
    target = images / "mirror"
    given = {"job-id": "m", "device": "src", "target": str(target), "sync": "full"}
    await run("drive-mirror", {**given, "node-name": "copy"})
    await settle(machine)
    await run("block-job-complete", {"device": "m"})
    await settle(machine, "concluded")
    assert await inserted(run) == "copy"
    assert target.read_bytes() == (images / "src").read_bytes()
    assert not machine.board.graph.node("copy").owned


async def test_a_mirror_of_the_top_stands_on_what_its_source_stood_on(run, machine, images, disk):
    given = {"node-name": "src", "snapshot-file": str(images / "a"), "snapshot-node-name": "top"}
    await run("blockdev-snapshot-sync", given)
    machine.board.graph.node("top").write(4, b"new!")
    given = {"device": "top", "target": str(images / "b"), "sync": "top", "node-name": "copy"}
    await run("drive-mirror", {"job-id": "m", **given})
    await settle(machine)
    await run("block-job-complete", {"device": "m"})
    await settle(machine, "concluded")
    copy = machine.board.graph.node("copy")
    assert copy.read(0, 12) == b"datanew!data"
    assert copy.backing is machine.board.graph.node("src")


async def test_a_backup_into_a_file_is_closed_at_its_end(run, machine, images):
    target = images / "backup"
    before = list(machine.board.graph.nodes)
    await run(
        "drive-backup", {"job-id": "b", "device": "src", "target": str(target), "sync": "full"}
    )
    await settle(machine)
    assert target.read_bytes() == (images / "src").read_bytes()
    assert list(machine.board.graph.nodes) == before


async def test_another_name_of_the_backing_file(run, machine, images, disk):
    given = {"node-name": "src", "snapshot-file": str(images / "a"), "snapshot-node-name": "top"}
    await run("blockdev-snapshot-sync", given)
    given = {"device": "top", "image-node-name": "top", "backing-file": "/elsewhere"}
    await run("change-backing-file", given)
    assert b"/elsewhere" in (images / "a").read_bytes()[:65536]
    assert machine.board.graph.node("top").backing is machine.board.graph.node("src")


async def test_a_mirror_may_be_told_to_copy_actively(run, machine, images):
    with pytest.raises(DeviceNotActive, match="Block job 'm' not found"):
        await run("block-job-change", {"id": "m", "type": "mirror", "copy-mode": "background"})
    await run("blockdev-mirror", {"job-id": "m", "device": "src", "target": "dst", "sync": "full"})
    await settle(machine)
    change = {"id": "m", "type": "mirror", "copy-mode": "write-blocking"}
    await run("block-job-change", {**change, "copy-mode": "background"})
    (job,) = await run("query-block-jobs")
    assert not job["actively-synced"]
    await run("block-job-change", change)
    (job,) = await run("query-block-jobs")
    assert job["actively-synced"]
    with pytest.raises(QMPError, match="Change to copy mode 'background' is not implemented"):
        await run("block-job-change", {**change, "copy-mode": "background"})


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"boundaries": [5, 5]}, "read"),
        ({"boundaries": [0, 5]}, "read"),
        ({"boundaries": []}, "read"),
        ({"boundaries-write": [9, 5]}, "write"),
        ({"boundaries": [7], "boundaries-flush": [0]}, "flush"),
    ],
)
async def test_boundaries_that_do_not_rise(run, images, machine, given, refused):
    await machine.board.add_device("ide-hd", "d", {"drive": "src"}, hotplug=False)
    with pytest.raises(QMPError, match=f"Device 'd' set {refused} boundaries fail"):
        await run("block-latency-histogram-set", {"id": "d", **given})


async def test_a_histogram_has_a_bin_more_than_boundaries(run, images, machine):
    await machine.board.add_device("ide-hd", "d", {"drive": "src"}, hotplug=False)
    given = {"id": "d", "boundaries": [10, 50], "boundaries-write": [7]}
    await run("block-latency-histogram-set", given)
    (drive,) = await run("query-blockstats")
    shown = {key: each for key, each in drive["stats"].items() if "histogram" in key}
    assert shown == {
        "rd_latency_histogram": {"boundaries": [10, 50], "bins": [0, 0, 0]},
        "wr_latency_histogram": {"boundaries": [7], "bins": [0, 0]},
        "zone_append_latency_histogram": {"boundaries": [10, 50], "bins": [0, 0, 0]},
        "flush_latency_histogram": {"boundaries": [10, 50], "bins": [0, 0, 0]},
    }
    await run("block-latency-histogram-set", {"id": "d"})
    (drive,) = await run("query-blockstats")
    assert not any("histogram" in key for key in drive["stats"])


async def active(run):
    nodes = await run("query-named-block-nodes", {"flat": True})
    return {node["node-name"]: node["active"] for node in nodes if node["node-name"][0] != "#"}


async def test_images_are_left_to_another_process_and_taken_back(run, images, machine):
    await run("blockdev-set-active", {"node-name": "src", "active": False})
    assert await active(run) == {"src": False, "dst": True}
    assert not machine.board.graph.node("src").child.active
    await run("blockdev-set-active", {"active": False})
    assert await active(run) == {"src": False, "dst": False}
    await machine.cont()
    assert await active(run) == {"src": True, "dst": True}
    with pytest.raises(QMPError, match="Failed to find node with node-name='nope'"):
        await run("blockdev-set-active", {"node-name": "nope", "active": True})


async def test_images_go_with_the_machine(run, images, machine):
    machine.execution.halt("finish-migrate")
    machine.migrating.leave_images()
    assert await active(run) == {"src": False, "dst": False}
    machine.migrating.resume_after_failure("running")
    assert await active(run) == {"src": True, "dst": True}


async def test_images_that_somebody_else_writes_to_stay(run, images, machine):
    backend = Backend(machine.board.graph, Claim(WRITE))
    backend.insert(machine.board.graph.nodes["dst"])
    with pytest.raises(MigrationError, match="Block inactivate failed during switchover"):
        machine.migrating.leave_images()
    machine.migrating.resume_after_failure("running")
    assert await active(run) == {"src": True, "dst": True}
    backend.close()
    machine.migrating.leave_images()
    assert await active(run) == {"src": False, "dst": False}
    await run("blockdev-add", {"driver": "null-co", "node-name": "new"})
    assert (await active(run))["new"]


async def test_one_that_waits_for_a_migration_leaves_images_alone(tmp_path):
    machine = Machine(MachineOptions(machine_type="q35", incoming=True))
    await machine.board.graph.add({"driver": "null-co", "node-name": "n"})
    assert not machine.board.graph.node("n").active
    machine.migrating.continue_as("running", asleep=False)
    assert machine.board.graph.node("n").active
    await machine.close()


def grouped(*backups):
    return {
        "actions": [{"type": "blockdev-backup", "data": each} for each in backups],
        "properties": {"completion-mode": "grouped"},
    }


@pytest.fixture
async def backups(run, images):
    """Two backups of one size; the second takes time."""
    for name in ("other", "last"):
        await run("blockdev-add", {"driver": "null-co", "node-name": name, "size": 1 << 25})
    return (
        {"job-id": "a", "device": "src", "target": "dst", "sync": "full"},
        {"job-id": "b", "device": "other", "target": "last", "sync": "full"},
    )


async def test_backups_of_a_group_wait_for_each_other(run, machine, backups):
    first, second = backups
    await run("transaction", grouped(first, {**second, "auto-finalize": False}))
    await settle(machine, "pending")
    assert [data["id"] for name, data in machine.told if name == "BLOCK_JOB_PENDING"] == ["b"]
    await run("job-finalize", {"id": "a"})
    assert machine.jobs.listed() == []
    completed = [data["device"] for name, data in machine.told if name == "BLOCK_JOB_COMPLETED"]
    assert completed == ["b", "a"]


async def test_backups_of_a_group_fail_together(run, machine, backups):
    first, second = backups
    await run("transaction", grouped(first, {**second, "speed": 1 << 16}))
    for _ in range(1000):
        if machine.jobs.find("a").status == "waiting":
            break
        await asyncio.sleep(0)
    await run("job-cancel", {"id": "b"})
    await settle(machine)
    cancelled = [data["device"] for name, data in machine.told if name == "BLOCK_JOB_CANCELLED"]
    assert cancelled == ["b", "a"]


async def test_only_backups_are_grouped(run, machine, backups):
    actions = grouped(backups[0])
    actions["actions"].append({"type": "abort", "data": {}})
    with pytest.raises(QMPError) as caught:
        await run("transaction", actions)
    assert str(caught.value) == (
        "Action 'abort' does not support transaction property completion-mode = grouped"
    )
    assert machine.jobs.listed() == []
