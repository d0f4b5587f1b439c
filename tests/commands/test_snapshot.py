"""Internal snapshots by command: of one image, and of the machine as a job.

Events and texts are those of QEMU 7.2.22 and 11.1.3, which differ where a test says so.
"""

import asyncio

import pytest

from qemu_sim.block import creation
from qemu_sim.clock import SECOND
from qemu_sim.commands import registry
from qemu_sim.commands.hmp import table
from qemu_sim.errors import QMPError
from qemu_sim.guest import boot_sector
from qemu_sim.guest.page_writer import END, FIRST, PAGE, ROUND
from qemu_sim.machine.machine import Machine
from qemu_sim.machine.options import MachineOptions

MIB = 1 << 20
TAKE = "blockdev-snapshot-internal-sync"
FORGET = "blockdev-snapshot-delete-internal-sync"


@pytest.fixture
def profile():
    """The QEMU to be."""
    return "11.1"


@pytest.fixture
def size():
    """Bytes of RAM."""
    return MIB


@pytest.fixture
async def machine(profile, size):
    options = MachineOptions(machine_type="q35", memory_size=size, clock="manual", profile=profile)
    made = Machine(options)
    made.told = []
    made.events.subscribe(lambda event: made.told.append(_told(event)))
    await made.start()
    made.told.clear()
    yield made
    assert not made.bugs
    await made.close()


def _told(event):
    data = event.get("data", {})
    return data.get("status", event["event"])


class Client:
    """A monitor whose client has sent no descriptors."""

    def __init__(self):
        self.named_fds = {}


@pytest.fixture
def run(machine):
    """Run a command with arguments by their QMP names."""

    async def run(name, /, **arguments):
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        checked = machine.schema.check_arguments(name, given)
        result = registry.find(name).call(machine, Client(), checked)
        result = await result if asyncio.iscoroutine(result) else result
        machine.told.append("return")
        return result

    return run


@pytest.fixture
def hmp(machine):
    """Run a line of the human monitor."""

    async def hmp(line):
        return await table.run(machine, None, line)

    return hmp


async def add_image(machine, run, path, **options):
    """Make an image, and open it as a node."""
    graph, file = machine.board.graph, {"driver": "file", "filename": str(path)}
    await creation.create(graph, {**file, "size": 0})
    await creation.create(graph, {"driver": "qcow2", "file": file, "size": MIB})
    await run("blockdev-add", driver="qcow2", file=file, **options)


@pytest.fixture
async def disks(machine, run, tmp_path):
    """Disks with the images `a` and `b`; returns the nodes."""
    for name in ("a", "b"):
        await add_image(machine, run, tmp_path / name, node_name=name)
        await machine.board.add_device("virtio-blk-pci", f"d{name}", {"drive": name}, hotplug=False)
    machine.told.clear()
    return machine.board.graph.nodes


@pytest.fixture
async def raw(run, tmp_path, disks):
    """A raw image `r` that is in use nowhere."""
    (tmp_path / "r").write_bytes(bytes(MIB))
    file = {"driver": "file", "filename": str(tmp_path / "r")}
    await run("blockdev-add", driver="raw", node_name="r", file=file)


@pytest.fixture
async def read_only_image(machine, run, tmp_path):
    await add_image(machine, run, tmp_path / "c", node_name="c", read_only=True)


async def settle(machine):
    """Wait until every job has ended."""
    for _ in range(100):
        if all(job.status == "concluded" for job in machine.jobs.listed()):
            return
        await asyncio.sleep(0)
    raise AssertionError([job.describe() for job in machine.jobs.listed()])


@pytest.fixture
def job(machine, run):
    """Run a snapshot job to its end; returns its error, None if there was none."""

    async def job(kind, tag="t", vmstate="a", devices=("a", "b")):
        more = {} if kind == "delete" else {"vmstate": vmstate}
        await run(f"snapshot-{kind}", job_id="j", tag=tag, devices=list(devices), **more)
        await settle(machine)
        (found,) = await run("query-jobs")
        assert found["type"] == f"snapshot-{kind}"
        assert (found["current-progress"], found["total-progress"]) == (1, 1)
        await run("job-dismiss", id="j")
        return found.get("error")

    return job


GOOD = ["waiting", "pending", "concluded"]
BAD = ["aborting", "concluded"]


@pytest.mark.usefixtures("disks")
@pytest.mark.parametrize("profile", ["7.2", "11.1"])
async def test_the_order_of_events(machine, job, run):
    """The work is done before the reply, and the job ends behind it."""
    stopped = ["STOP", "RESUME"]
    for kind, tag, between, end in (
        ("save", "t", stopped, GOOD),
        ("save", "t", [], BAD),
        ("load", "t", stopped, GOOD),
        ("delete", "t", [], GOOD),
        ("load", "t", ["STOP"], BAD),
        ("load", "t", [], BAD),
        ("save", "u", [], GOOD),
    ):
        machine.told.clear()
        await job(kind, tag)
        told = machine.told[: machine.told.index("concluded") + 1]
        assert told == ["created", "running", *between, "return", *end], (kind, tag)
    assert machine.state_name == "restore-vm"
    await run("cont")
    assert machine.is_running


@pytest.mark.usefixtures("raw")
@pytest.mark.parametrize(
    ("kind", "arguments", "error"),
    [
        ("save", {"vmstate": "r"}, "vmstate block device 'r' does not exist"),
        ("save", {"devices": ["b"]}, "vmstate block device 'a' does not exist"),
        ("save", {"devices": []}, "At least one device is required for snapshot"),
        ("save", {"devices": ["a", "zz"]}, "No block device node 'zz'"),
        ("save", {"devices": ["a", "r"]}, "Device 'r' is writable but does not support snapshots"),
        ("load", {"tag": "n"}, "Snapshot 'n' does not exist in one or more devices"),
        (
            "load",
            {"tag": "disk", "vmstate": "b"},
            "This is a disk-only snapshot. Revert to it  offline using qemu-img",
        ),
        ("delete", {"devices": ["r"]}, "Device 'r' is writable but does not support snapshots"),
        ("delete", {"devices": ["zz"]}, "No block device node 'zz'"),
        ("delete", {"tag": "n"}, None),
    ],
)
async def test_errors(run, job, kind, arguments, error):
    for name in ("a", "b"):
        await run(TAKE, device=name, name="disk")
    assert await job(kind, **arguments) == error


@pytest.mark.usefixtures("disks")
async def test_the_job_s_name(run):
    for id, text in (("9", "Invalid job ID '9'"), ("j", "Job ID 'j' already in use")):
        with pytest.raises(QMPError, match=text):
            for _ in range(2):
                await run("snapshot-delete", job_id=id, tag="t", devices=["a"])


async def test_everything_goes_back(machine, job, disks):
    memory, (a, b) = machine.memory, (disks["a"], disks["b"])
    memory.write(0x2000, b"before")
    a.write(0, b"before")
    await machine.clock.advance(5 * SECOND)
    assert await job("save") is None
    memory.write(0x2000, b"behind")
    memory.write(0x90000, b"behind")
    for node in (a, b):
        node.write(0, b"behind")
    await machine.clock.advance(3 * SECOND)
    assert machine.vm_clock.now() == 8 * SECOND
    assert await job("load") is None
    assert memory.read(0x2000, 6) == b"before"
    assert memory.read(0x90000, 6) == bytes(6)
    assert (a.read(0, 6), b.read(0, 6)) == (b"before", bytes(6))
    assert machine.vm_clock.now() == 5 * SECOND
    a.write(0, b"once more")
    assert await job("load") is None
    assert a.read(0, 9) == b"before\0\0\0"
    assert [len(node.snapshot_store.listed()) for node in (a, b)] == [1, 1]
    assert await job("delete") is None
    assert [len(node.snapshot_store.listed()) for node in (a, b)] == [0, 0]


@pytest.mark.usefixtures("disks")
async def test_a_machine_that_stands_still_stays_so(machine, job, run):
    await run("stop")
    machine.told.clear()
    assert await job("save") is None
    assert await job("load") is None
    assert machine.state_name == "paused"
    assert not {"STOP", "RESUME"} & set(machine.told)
    await run("cont")
    assert await job("load") is None
    assert machine.is_running


@pytest.mark.usefixtures("disks")
async def test_a_guest_that_slept_sleeps_again(machine, job):
    machine.execution.suspend()
    assert await job("save") is None
    assert machine.state_name == "suspended"
    machine.execution.wake_up()
    assert await job("load") is None
    assert machine.state_name == "suspended"


@pytest.mark.parametrize("size", [128 * MIB])
async def test_the_program_of_the_guest_goes_back(machine, run, hmp, tmp_path):
    """It writes to each page in turn: all have the same number, but for one step."""

    def pages():
        return machine.memory.map[FIRST:END:PAGE]

    await add_image(machine, run, tmp_path / "boot", node_name="boot")
    machine.board.graph.nodes["boot"].write(0, boot_sector.PAGE_WRITER)
    await machine.board.add_device("virtio-blk-pci", "disk", {"drive": "boot"}, hotplug=False)
    machine.board.devices[-1].run()
    await machine.clock.advance(5 * ROUND + ROUND // 2)
    assert await hmp("savevm t") == ""
    saved = pages()
    assert set(saved) == {5, 6}
    await machine.clock.advance(70 * ROUND)
    assert pages()[0] > 70
    assert await hmp("loadvm t") == ""
    assert pages() == saved
    await machine.clock.advance(ROUND)
    assert set(pages()) == {6, 7}
    assert saved.index(5) == pages().index(6)


@pytest.mark.usefixtures("disks")
@pytest.mark.parametrize("profile", ["7.2", "11.1"])
async def test_events_of_the_stream(machine, job, run, profile):
    states = [{"capability": "events", "state": True}]
    await run("migrate-set-capabilities", capabilities=states)
    machine.told.clear()
    assert await job("save") is None
    passes = ["MIGRATION_PASS"] * 2 if profile == "7.2" else []
    start = ["created", "running", "STOP", "setup", *passes, "completed", "RESUME", "return"]
    assert machine.told[: len(start)] == start


@pytest.mark.usefixtures("disks")
@pytest.mark.parametrize(
    ("capability", "text"),
    [
        ("multifd", "Snapshots are not compatible with multifd"),
        ("mapped-ram", "snapshots with mapped-ram are not simulated by qemu-sim"),
    ],
)
async def test_capabilities_that_do_not_go_with_it(machine, run, job, capability, text):
    states = [{"capability": capability, "state": True}]
    await run("migrate-set-capabilities", capabilities=states)
    assert await job("save") == text
    assert machine.is_running
    assert await job("load") == text
    assert machine.state_name == "restore-vm"


@pytest.mark.usefixtures("disks")
async def test_what_cannot_migrate_cannot_be_saved(machine, job):
    machine.board.add_object("memory-backend-ram", "m", {"size": MIB})
    given = {"memdev": "m", "master": "off"}
    await machine.board.add_device("ivshmem-plain", "i", given, hotplug=False)
    text = "Migration is disabled when using feature 'peer mode' in device 'ivshmem'"
    assert await job("save") == text
    assert "STOP" not in machine.told


@pytest.mark.usefixtures("disks")
async def test_while_it_migrates(machine, run, job, tmp_path):
    assert await job("save") is None
    await run("migrate", uri=f"file:{tmp_path}/stream")
    machine.told.clear()
    assert await job("save", "u") == "There's a migration process in progress"
    assert machine.told[2:5] == ["STOP", "RESUME", "return"]
    text = "loading a snapshot during a migration is not simulated by qemu-sim"
    assert await job("load") == text
    await run("migrate_cancel")


async def test_images_that_another_process_has(machine, job, run, disks):
    machine.board.activate_images(active=False)
    assert await job("save") == "Device 'a' is writable but does not support snapshots"
    with pytest.raises(
        QMPError,
        match="Block format 'qcow2' used by device 'a' does not support internal snapshots",
    ):
        await run(TAKE, device="a", name="s")


async def test_a_state_that_does_not_fit(machine, job, hmp, disks):
    assert await job("save") is None
    store = disks["a"].snapshot_store
    store.delete(store.listed()[0])
    store.write_vm_state(0, b"no stream")
    store.create(machine.snapshots.new("t")._replace(vm_state_size=9))
    text = "Error: Not a migration stream, magic: 6e6f2073 != 5145564d\n"
    assert await hmp("loadvm t") == text
    assert machine.state_name == "restore-vm"


async def test_one_image(run, machine, disks):
    await machine.clock.advance(2 * SECOND)
    await run(TAKE, device="a", name="s1")
    await run(TAKE, device="a", name="s2")
    image = next(each for each in await run("query-named-block-nodes") if each["node-name"] == "a")
    told = image["image"]["snapshots"]
    assert [each["id"] for each in told] == ["1", "2"]
    gone = await run(FORGET, device="a", id="1", name="s1")
    assert list(gone.items()) == list(told[0].items())
    assert (gone["vm-clock-sec"], gone["vm-state-size"]) == (2, 0)
    await run(TAKE, device="a", name="s3")
    assert [each.id for each in disks["a"].snapshot_store.listed()] == ["2", "3"]


@pytest.mark.usefixtures("raw", "read_only_image")
@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        (TAKE, {"device": "a", "name": "s"}, "Snapshot with name 's' already exists on device 'a'"),
        (TAKE, {"device": "a", "name": ""}, "Name is empty"),
        (TAKE, {"device": "zz", "name": "s"}, "Cannot find device='zz' nor node-name='zz'"),
        (
            TAKE,
            {"device": "r", "name": "s"},
            "Block format 'raw' used by device 'r' does not support internal snapshots",
        ),
        (TAKE, {"device": "c", "name": "s"}, "Device 'c' is read only"),
        (FORGET, {"device": "a"}, "Name or id must be provided"),
        (
            FORGET,
            {"device": "a", "name": "n"},
            "Snapshot with id 'null' and name 'n' does not exist on device 'a'",
        ),
        (
            FORGET,
            {"device": "a", "id": "1", "name": "n"},
            "Snapshot with id '1' and name 'n' does not exist on device 'a'",
        ),
        (
            FORGET,
            {"device": "r", "name": "s"},
            "Failed to get a snapshot list: Operation not supported",
        ),
    ],
)
async def test_errors_of_one_image(run, name, arguments, error):
    await run(TAKE, device="a", name="s")
    with pytest.raises(QMPError) as caught:
        await run(name, **arguments)
    assert str(caught.value) == error


async def test_a_transaction_takes_all_or_none(run, disks):
    def actions(*names):
        return [{"type": TAKE, "data": {"device": name, "name": "s"}} for name in names]

    with pytest.raises(QMPError, match="already exists on device 'b'"):
        await run("transaction", actions=actions("a", "b", "b"))
    assert [node.snapshot_store.listed() for node in (disks["a"], disks["b"])] == [[], []]
    await run("transaction", actions=actions("a", "b"))
    dates = {node.snapshot_store.listed()[0].date for node in (disks["a"], disks["b"])}
    assert len(dates) == 1


LISTS = {
    "7.2": """\
List of snapshots present on all disks:
ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT
--        t                {size:>8} {date} 00:00:05.250           

List of partial (non-loadable) snapshots on '':
ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT
2         only-here             0 B {date} 00:00:05.250           
""",  # noqa: W291 - as QEMU prints it
    "11.1": """\
List of snapshots present on all disks:
ID      TAG               VM_SIZE                DATE        VM_CLOCK     ICOUNT
--      t                {size:>8} {date}  0000:00:05.250         --

List of partial (non-loadable) snapshots on '':
ID      TAG               VM_SIZE                DATE        VM_CLOCK     ICOUNT
2       only-here             0 B {date}  0000:00:05.250         --
""",
}


@pytest.mark.parametrize("profile", ["7.2", "11.1"])
async def test_the_list_for_people(machine, run, hmp, disks, profile):
    import time

    assert await hmp("info snapshots") == "There is no snapshot available.\n"
    await machine.clock.advance(5 * SECOND + SECOND // 4)
    assert await hmp("savevm t") == ""
    await run(TAKE, device="a", name="only-here")
    kept = disks["a"].snapshot_store.listed()[0]
    size = f"{kept.vm_state_size / 1024:.3g} KiB"
    date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(kept.date // SECOND))
    assert await hmp("info snapshots") == LISTS[profile].format(size=size, date=date)


async def test_savevm_and_its_like(machine, hmp, disks):
    assert await hmp("savevm") == ""
    (named,) = disks["a"].snapshot_store.listed()
    assert named.name.startswith("vm-20")
    disks["a"].write(0, b"first")
    assert await hmp("savevm t") == ""
    disks["a"].write(0, b"other")
    assert await hmp("savevm t") == ""  # in the place of the first
    assert [each.name for each in disks["a"].snapshot_store.listed()] == [named.name, "t"]
    disks["a"].write(0, b"third")
    assert await hmp("loadvm t") == ""
    assert disks["a"].read(0, 5) == b"other"
    assert await hmp("delvm t") == ""
    text = "Error: Snapshot 't' does not exist in one or more devices\n"
    assert await hmp("loadvm t") == text
    assert machine.state_name == "restore-vm"


@pytest.mark.parametrize("profile", ["7.2", "11.1"])
async def test_without_a_disk(hmp, profile):
    text = "no block device can store vmstate for snapshot\n"
    assert await hmp("savevm t") == f"Error: {text}"
    assert await hmp("delvm t") == ""
    assert await hmp("info snapshots") == (text if profile == "7.2" else f"Error: {text}")
