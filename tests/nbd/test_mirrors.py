"""Storage that is copied to an export: of ours, of QEMU's own programs, and by a real QEMU."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from qemu_sim.qapi.emulator import Emulator
from qemu_sim.testing.client import QMPError
from qemu_sim.testing.listening import wait_for_listener
from qemu_sim.wire.nbd import Flags
from qemu_sim.wire.nbd_options import Offer
from qemu_sim.wire.nbd_server import ServerSession

MIB = 1 << 20
TIMEOUT = 30


def file_node(image, name, driver="raw"):
    file = {"driver": "file", "filename": str(image)}
    return {"driver": driver, "node-name": name, "file": file}


def export_node(server, name, export="disk", **more):
    address = {"type": "unix", "path": str(server)}
    return {"driver": "nbd", "node-name": name, "server": address, "export": export, **more}


def wait_job(machine, status, id="m"):
    machine.wait_event("JOB_STATUS_CHANGE", id=id, status=status)


def mirror(machine, image, server, driver="raw", **more):
    """Have a machine mirror an image to an export, until both are equal."""
    machine.execute("blockdev-add", file_node(image, "src", driver))
    machine.execute("blockdev-add", export_node(server, "wire", **more))
    machine.execute("blockdev-add", {"driver": "raw", "node-name": "dst", "file": "wire"})
    machine.execute("blockdev-mirror", job_id="m", device="src", target="dst", sync="full")
    wait_job(machine, "ready")


@pytest.fixture
def qemu_nbd(tmp_path):
    """Start QEMU's server on an image, and give a way to end it."""
    program = shutil.which("qemu-nbd")
    if program is None:
        pytest.skip("qemu-nbd is not installed")
    started = []

    def start(image, *options):
        path = tmp_path / "qemu.nbd"
        command = [program, "-t", "-k", path, "-x", "disk", "-f", "raw", *options, image]
        process = subprocess.Popen(command)
        started.append(process)
        wait_for_listener(str(path), TIMEOUT)
        return path, process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def source(make_machine):
    return make_machine("-machine", "none", name="source")


@pytest.mark.parametrize("driver", ["raw", "qcow2"])
def test_to_another_of_ours(server, source, image, program, driver):
    """Both formats, and only the bytes that are not zero take room."""
    here, there = image.with_suffix(".here"), image.with_suffix(".there")
    program("qemu-img", "convert", "-f", "raw", "-O", driver, image, here)
    program("qemu-img", "create", "-f", driver, there, "4M")
    server.export(there, driver=driver)
    mirror(source, here, server.path, driver)
    assert source.execute("query-block-jobs")[0]["offset"] == 4 * MIB or driver == "qcow2"
    source.execute("block-job-cancel", device="m")
    wait_job(source, "null")
    source.execute("blockdev-del", node_name="dst")
    source.execute("blockdev-del", node_name="wire")
    server.machine.execute("nbd-server-stop")
    server.machine.execute("blockdev-del", node_name="disk")
    same = program("qemu-img", "compare", "-f", "raw", "-F", driver, image, there)
    assert "Images are identical" in same
    assert there.stat().st_blocks * 512 < 2 * MIB


def test_to_qemus_server(qemu_nbd, source, image, empty):
    path, _ = qemu_nbd(empty)
    mirror(source, image, path)
    source.execute("block-job-complete", device="m")
    wait_job(source, "null")
    assert empty.read_bytes() == image.read_bytes()


@pytest.mark.parametrize(
    "target", ["nbd:unix:{}:exportname=disk", "nbd+unix:///disk?socket={}"], ids=["old", "uri"]
)
def test_by_the_name_of_the_export(qemu_nbd, source, image, empty, target):
    """The mode in which a file would be made takes the export that is there, as in QEMU."""
    path, _ = qemu_nbd(empty)
    source.execute("blockdev-add", file_node(image, "src"))
    given = {"device": "src", "target": target.format(path), "format": "raw", "sync": "full"}
    for mode in ("existing", "absolute-paths"):
        source.execute("drive-mirror", {"job-id": "m", "mode": mode, **given})
        wait_job(source, "ready")
        source.execute("block-job-cancel", device="m")
        wait_job(source, "null")
    assert empty.read_bytes() == image.read_bytes()
    assert len(source.execute("query-named-block-nodes")) == 2  # the source, and its file


def test_by_a_real_qemu(server, image, empty):
    program = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
    if program is None:
        pytest.skip("no qemu-system-x86_64 is installed")
    server.export(empty)
    with Emulator([program, "-nodefaults", "-display", "none", "-machine", "none"]) as qemu:
        qemu.execute_with("blockdev-add", file_node(image, "src"))
        qemu.execute_with("blockdev-add", export_node(server.path, "dst"))
        job = {"job-id": "m", "device": "src", "target": "dst", "sync": "full"}
        qemu.execute_with("blockdev-mirror", {**job, "auto-dismiss": False})
        for status, command in (("ready", "block-job-cancel"), ("concluded", None)):
            deadline = time.monotonic() + TIMEOUT
            while (found := qemu.execute("query-jobs"))[0]["status"] != status:
                assert time.monotonic() < deadline, found
            if command:
                qemu.execute(command, device="m")
        assert "error" not in found[0]
    assert empty.read_bytes() == image.read_bytes()


def test_from_an_export(server, source, image, empty):
    """The other direction: a copy of what another machine has."""
    server.export(image, writable=False)
    source.execute("blockdev-add", export_node(server.path, "src", **{"read-only": True}))
    source.execute("blockdev-add", file_node(empty, "dst"))
    source.execute("blockdev-mirror", job_id="m", device="src", target="dst", sync="full")
    wait_job(source, "ready")
    assert empty.read_bytes() == image.read_bytes()


def test_what_is_written_meanwhile_is_copied_as_well(make_server, image, empty, program):
    """The source is exported itself, and its client goes on to write."""
    target = make_server(name="there").start()
    target.export(empty)
    here = make_server(name="here").start()
    uri = here.export(image, "src")
    here.machine.execute("blockdev-add", export_node(target.path, "dst"))
    here.machine.execute("blockdev-mirror", job_id="m", device="src", target="dst", sync="full")
    wait_job(here.machine, "ready")
    program("qemu-io", "-f", "raw", "-c", "write -P 9 3M 100k", "-c", "write -z 0 64k", uri)
    assert image.read_bytes()[3 * MIB] == 9
    (job,) = here.machine.execute("query-block-jobs")
    assert job["len"] == job["offset"] == 4 * MIB + (2 + 1) * (64 << 10)  # parts, all of them
    here.machine.execute("block-job-cancel", device="m")
    wait_job(here.machine, "null")
    assert empty.read_bytes() == image.read_bytes()


def failed(machine, operation="write"):
    """The error with which the mirror ended, after the one that QEMU tells before."""
    event = machine.wait_event("BLOCK_JOB_ERROR")["data"]
    assert event == {"device": "m", "operation": operation, "action": "report"}
    return machine.wait_event("BLOCK_JOB_COMPLETED")["data"]["error"]


def test_a_connection_that_is_yanked(qemu_nbd, source, image, empty):
    """The mirror learns of it when it wants the target's disk to have it all."""
    path, _ = qemu_nbd(empty)
    mirror(source, image, path)
    node = {"type": "block-node", "node-name": "wire"}
    assert node in source.execute("query-yank")
    source.execute("yank", instances=[node])
    assert source.execute("query-jobs")[0]["status"] == "ready"
    source.execute("block-job-cancel", device="m")
    assert failed(source) == "Input/output error"


def test_a_server_that_dies(qemu_nbd, source, image, empty):
    path, process = qemu_nbd(empty)
    mirror(source, image, path)
    process.kill()
    process.wait()
    source.execute("block-job-cancel", device="m")
    assert failed(source) == "Input/output error"
    source.execute("blockdev-mirror", job_id="m", device="src", target="dst", sync="full")
    assert failed(source) == "Input/output error"


def test_a_server_that_comes_back_in_time(qemu_nbd, source, image, empty):
    path, process = qemu_nbd(empty)
    mirror(source, image, path, **{"reconnect-delay": TIMEOUT})
    process.kill()
    process.wait()
    source.execute("block-job-cancel", device="m")
    qemu_nbd(empty)
    assert "error" not in source.wait_event("BLOCK_JOB_COMPLETED")["data"]


def test_an_export_that_opens_late(source, server, image):
    """With `open-timeout` the client tries again."""
    server.machine.execute("nbd-server-stop")
    with pytest.raises(QMPError, match=f"Failed to connect to '{server.path}': No such file"):
        source.execute("blockdev-add", export_node(server.path, "n"))
    late = export_node(server.path, "n", **{"open-timeout": TIMEOUT})
    with ThreadPoolExecutor(1) as pool:
        added = pool.submit(source.execute, "blockdev-add", late, timeout=TIMEOUT)
        server.start()
        server.export(image)
        added.result()
    assert source.execute("query-named-block-nodes")[0]["image"]["virtual-size"] == 4 * MIB


def test_a_refused_export(source, server, image, empty):
    server.export(image, "cd", writable=False)
    with pytest.raises(QMPError, match="Requested export not available"):
        source.execute("blockdev-add", export_node(server.path, "n", "nope"))
    with pytest.raises(QMPError, match="Could not open image: Permission denied"):
        source.execute("blockdev-add", export_node(server.path, "n", "cd"))
    source.execute("blockdev-add", export_node(server.path, "n", "cd", **{"auto-read-only": True}))
    (node,) = source.execute("query-named-block-nodes")
    assert (node["ro"], node["image"]["virtual-size"]) == (True, 4 * MIB)
    assert node["file"] == f"nbd+unix:///cd?socket={server.path}"
    server.export(empty, "qcow2")
    with pytest.raises(QMPError, match="not simulated by qemu-sim: an image format on an NBD"):
        file = export_node(server.path, "f", "qcow2")
        source.execute("blockdev-add", {"driver": "qcow2", "node-name": "q", "file": file})


def test_an_export_on_the_command_line(server, image, make_machine):
    server.export(image)
    server.export(image, "again", writable=False)
    client = make_machine(
        *("-machine", "none", "-blockdev"),
        f"driver=nbd,node-name=n,server.type=unix,server.path={server.path},export=disk",
        *(
            "-drive",
            f"if=none,id=d,format=raw,readonly=on,file=nbd:unix:{server.path}:exportname=again",
        ),
        name="client",
    )
    files = {each["file"] for each in client.execute("query-named-block-nodes")}
    assert files == {f"nbd+unix:///{name}?socket={server.path}" for name in ("disk", "again")}
    with pytest.raises(QMPError, match="export 'disk' still in use"):
        server.machine.execute("block-export-del", id="disk")


def test_a_mirror_outlives_a_migration(make_server, make_machine, image, empty, tmp_path):
    """As in QEMU: nothing cancels it, and its target's export is there until somebody ends it."""
    disk = ("-machine", "q35", "-blockdev")
    address = f"unix:{tmp_path}/migration"
    there = make_server(
        *disk, f"raw,node-name=disk,file.driver=file,file.filename={empty}",
        *("-incoming", address), name="there",
    ).start()  # fmt: skip
    there.machine.execute(
        "block-export-add", type="nbd", id="disk", node_name="disk", writable=True
    )
    here = make_machine(
        *disk, f"raw,node-name=src,file.driver=file,file.filename={image}", name="here"
    )
    here.execute("blockdev-add", export_node(there.path, "dst"))
    here.execute("blockdev-mirror", job_id="m", device="src", target="dst", sync="full")
    wait_job(here, "ready")
    events = [{"capability": "events", "state": True}]
    here.execute("migrate-set-capabilities", capabilities=events)
    here.execute("migrate", uri=address)
    there.machine.wait_event("RESUME")
    here.wait_event("MIGRATION", status="completed")
    assert here.execute("query-jobs")[0]["status"] == "ready"
    assert [each["id"] for each in there.machine.execute("query-block-exports")] == ["disk"]
    here.execute("block-job-cancel", device="m")
    wait_job(here, "null")
    there.machine.execute("nbd-server-stop")
    assert empty.read_bytes() == image.read_bytes()


def test_a_disk_is_the_guests_alone_once_it_has_come(make_server, make_machine, empty, tmp_path):
    """Until then an export may write to it, as the source's mirror does."""
    address = f"unix:{tmp_path}/migration"
    disk = f"raw,node-name=disk,file.driver=file,file.filename={empty}"
    machine = ("-machine", "q35", "-device", "pcie-root-port,id=rp0,chassis=1", "-blockdev")
    device = ("-device", "virtio-blk-pci,id=vd0,bus=rp0,drive=disk")
    there = make_server(*machine, disk, *device, "-incoming", address, name="there").start()
    export = {"type": "nbd", "id": "disk", "node-name": "disk", "writable": True}
    there.machine.execute("block-export-add", export)
    there.machine.execute("nbd-server-stop")
    here = make_machine(*machine, "null-co,node-name=disk,read-zeroes=on", *device, name="here")
    here.execute("migrate", uri=address)
    there.machine.wait_event("RESUME")
    there.start()
    with pytest.raises(QMPError, match="unshared by block device '/machine/peripheral/vd0"):
        there.machine.execute("block-export-add", export)


@pytest.fixture
def nonsense(tmp_path):
    """A server that opens any export, and answers the first request with nonsense."""
    path = tmp_path / "nonsense"
    offer = Offer("disk", None, 4 * MIB, Flags.HAS_FLAGS)

    def serve(listener):
        client, _ = listener.accept()
        session = ServerSession(lambda: [offer])
        requests = []
        with client:
            while not requests:
                client.sendall(session.take_output())
                requests = session.receive(client.recv(1 << 16))
            client.sendall(b"nonsense" * 8)
            client.recv(1)

    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(TIMEOUT)
        listener.bind(str(path))
        listener.listen()
        served = pool.submit(serve, listener)
        yield path
        served.result()


def test_a_server_that_talks_nonsense(nonsense, source, empty):
    """The job that it was asked for fails, as with a lost connection."""
    source.execute("blockdev-add", export_node(nonsense, "src", **{"read-only": True}))
    source.execute("blockdev-add", file_node(empty, "dst"))
    source.execute("blockdev-mirror", job_id="m", device="src", target="dst", sync="full")
    assert failed(source, "read") == "Input/output error"
