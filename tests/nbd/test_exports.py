"""Exported images as qemu-img, qemu-io and libnbd's programs see them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import time

import pytest

from qemu_sim.testing.client import QMPError

MIB = 1 << 20
TIMEOUT = 10


@pytest.fixture
def connected(server):
    """Open an image with qemu-io, keep it so, and give a way to type commands."""
    program = shutil.which("qemu-io")
    if program is None:
        pytest.skip("qemu-io is not installed")
    started = []

    def connected(uri):
        process = subprocess.Popen(
            [program, "-f", "raw", uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)

        def ask(command):
            print(command, file=process.stdin, flush=True)
            answer = ""
            while "ops" not in answer and "failed" not in answer:
                line = process.stdout.readline()
                assert line, answer
                answer += line
            return answer

        assert "ops" in ask("read 0 512")
        return ask

    yield connected
    for process in started:
        process.kill()
        process.communicate()


def test_what_is_told_of_an_export(server, image, program):
    server.export(image, description="some words")
    server.export(image, name="cd", writable=False)
    told = json.loads(program("nbdinfo", "--json", "--list", server.uri("")))
    disk, cd = told["exports"]
    assert (told["protocol"], told["structured"]) == ("newstyle-fixed", True)
    assert disk["export-name"] == "disk"
    assert disk["description"] == "some words"
    assert disk["export-size"] == 4 * MIB
    assert disk["contexts"] == ["base:allocation"]
    can = ("can_flush", "can_fua", "can_trim", "can_zero", "can_df", "can_cache", "can_multi_conn")
    assert all(disk[each] for each in can)
    assert (disk["is_read_only"], cd["is_read_only"]) == (False, True)
    assert not cd["can_zero"]
    assert "No such file or directory" in program("nbdinfo", server.uri("nope"), status=1)


@pytest.mark.parametrize("driver", ["raw", "qcow2"])
def test_the_bytes_are_the_images(server, image, tmp_path, program, driver):
    """Read, and written to another image; qemu-img is the judge."""
    other = tmp_path / "other"
    program("qemu-img", "create", "-f", driver, other, "4M")
    source, target = server.export(image), server.export(other, "target", driver)
    same = "Images are identical"
    assert same in program("qemu-img", "compare", "-f", "raw", "-F", "raw", image, source)
    program("nbdcopy", "--flush", source, target)
    assert same in program("qemu-img", "compare", "-f", "raw", "-F", driver, "-U", image, other)
    program("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, target)
    server.machine.execute("nbd-server-stop")
    server.machine.execute("blockdev-del", node_name="target")
    assert same in program("qemu-img", "compare", "-f", "raw", "-F", driver, image, other)
    if driver == "qcow2":
        assert "No errors" in program("qemu-img", "check", other)


@pytest.mark.parametrize("driver", ["raw", "qcow2"])
def test_which_parts_are_allocated(server, tmp_path, program, driver):
    path = tmp_path / "image"
    program("qemu-img", "create", "-f", driver, path, "4M")
    program("qemu-io", "-f", driver, "-c", "write -P 1 1M 64k", path)
    expected = program("qemu-img", "map", "--output=json", "-f", driver, path)
    uri = server.export(path, driver=driver)
    found = program("qemu-img", "map", "--output=json", "-f", "raw", uri)
    parts = ("start", "length", "zero", "data")
    assert [[each[part] for part in parts] for each in json.loads(found)] == [
        [each[part] for part in parts] for each in json.loads(expected)
    ]


def test_zeros_take_no_room(server, empty, program):
    """Where nothing was; where something was, there are zeros."""
    uri = server.export(empty)
    program("qemu-io", "-f", "raw", "-c", "write -P 1 1M 8k", "-c", "write -z 0 4M", uri)
    assert empty.stat().st_blocks * 512 <= 64 << 10
    assert empty.read_bytes() == bytes(4 * MIB)


def test_all_kinds_of_requests(server, image, program):
    uri = server.export(image)
    commands = ("write -P 7 100k 70k", "write -f -P 8 0 512", "write -z -u 2M 1M", "discard 0 64k")
    typed = [word for each in (*commands, "flush", "read -P 7 100k 70k") for word in ("-c", each)]
    assert "failed" not in program("qemu-io", "-f", "raw", *typed, uri)
    assert image.read_bytes()[100 << 10 : 170 << 10] == b"\7" * (70 << 10)
    assert image.read_bytes()[2 * MIB : 3 * MIB] == bytes(MIB)


def test_a_read_only_export_is_not_written_to(server, image, program):
    uri = server.export(image, writable=False)
    refused = program("qemu-io", "-f", "raw", "-c", "write 0 512", uri, status=1)
    assert "Permission denied" in refused
    assert "512" in program("qemu-io", "-r", "-f", "raw", "-c", "read 0 512", uri)


def test_an_export_in_use(server, image, connected):
    """Mode `safe` leaves it alone; mode `hard` ends the connection, and says so afterwards."""
    ask = connected(server.export(image))
    machine = server.machine
    with pytest.raises(QMPError, match=r"^export 'disk' still in use$"):
        machine.execute("block-export-del", id="disk")
    assert "512" in ask("read 0 512")
    machine.execute("block-export-del", id="disk", mode="hard")
    assert machine.wait_event("BLOCK_EXPORT_DELETED")["data"] == {"id": "disk"}
    assert "Input/output error" in ask("read 0 512")
    assert machine.execute("query-block-exports") == []
    machine.execute("blockdev-del", node_name="disk")


def test_a_client_that_leaves_frees_the_export(server, image, program):
    program("qemu-io", "-f", "raw", "-c", "read 0 512", server.export(image))
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            server.machine.execute("block-export-del", id="disk")
        except QMPError:
            assert time.monotonic() < deadline
        else:
            return


def test_a_server_that_stops_ends_all(server, image, connected):
    ask = connected(server.export(image))
    server.machine.execute("nbd-server-stop")
    assert server.machine.wait_event("BLOCK_EXPORT_DELETED")["data"] == {"id": "disk"}
    assert "Input/output error" in ask("read 0 512")
    assert not os.path.exists(server.path)
    server.start()
    assert "ops" in connected(server.export(image, "again"))("read 0 512")


@contextlib.contextmanager
def greeted(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT)
        client.connect(str(path))
        assert client.recv(64) == b"NBDMAGICIHAVEOPT\0\3"
        yield client


def test_only_so_many_clients_at_a_time(make_server):
    """One more is greeted when another has left."""
    path = make_server().start(**{"max-connections": 1}).path
    with socket.socket(socket.AF_UNIX) as waiting:
        with greeted(path):
            waiting.connect(str(path))
            waiting.settimeout(0.2)
            with pytest.raises(TimeoutError):
                waiting.recv(64)
        waiting.settimeout(TIMEOUT)
        assert waiting.recv(64) == b"NBDMAGICIHAVEOPT\0\3"


def test_a_client_that_chooses_nothing_is_sent_away(make_server):
    with greeted(make_server().start(**{"handshake-max-seconds": 1}).path) as client:
        assert client.recv(64) == b""


def test_a_client_that_talks_nonsense_is_sent_away(server, image):
    uri = server.export(image)
    with greeted(server.path) as client:
        client.sendall(struct.pack(">I", 4711))
        assert client.recv(64) == b""
    assert uri
    assert server.machine.execute("query-status")["running"]


def test_writes_are_noted_in_bitmaps(server, image, program):
    uri, machine = server.export(image), server.machine
    machine.execute("block-dirty-bitmap-add", node="disk", name="b", granularity=65536)
    machine.execute("block-dirty-bitmap-add", node="disk", name="c", granularity=4096)
    program("qemu-io", "-f", "raw", "-c", "write 60k 8k", "-c", "read 1M 1M", uri)

    def counts():
        (node,) = (each for each in machine.execute("query-named-block-nodes", flat=True)
                   if each["node-name"] == "disk")  # fmt: skip
        return {each["name"]: each["count"] for each in node["dirty-bitmaps"]}

    assert counts() == {"b": 2 * 65536, "c": 8192}
    machine.execute("block-dirty-bitmap-clear", node="disk", name="b")
    assert counts() == {"b": 0, "c": 8192}
    machine.execute("block-dirty-bitmap-merge", node="disk", target="b", bitmaps=["c"])
    assert counts() == {"b": 2 * 65536, "c": 8192}


def test_a_listening_socket_may_be_passed(make_machine, tmp_path, image, program):
    """To `getfd`; anything else is not a socket."""
    machine = make_machine("-machine", "none")
    path = tmp_path / "passed"
    with socket.socket(socket.AF_UNIX) as listener, open(image, "rb") as file:
        listener.bind(str(path))
        machine.execute("getfd", fdname="file", fds=[file.fileno()])
        machine.execute("getfd", fdname="door", fds=[listener.fileno()])
    address = {"type": "fd", "data": {"str": "file"}}
    with pytest.raises(QMPError, match="File descriptor 'file' is not a socket"):
        machine.execute("nbd-server-start", addr=address)
    machine.execute("nbd-server-start", addr={"type": "fd", "data": {"str": "door"}})
    file_node = {"driver": "file", "filename": str(image)}
    machine.execute("blockdev-add", {"driver": "raw", "node-name": "d", "file": file_node})
    machine.execute("block-export-add", type="nbd", id="d", node_name="d")
    assert program("nbdinfo", "--size", f"nbd+unix:///d?socket={path}").strip() == str(4 * MIB)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"type": "vhost-user-blk", "addr": {"type": "unix", "path": "/x"}}, "vhost-user-blk"),
        ({"type": "nbd", "allocation-depth": True}, "allocation-depth"),
        ({"type": "nbd", "bitmaps": ["b"]}, "dirty bitmap"),
    ],
)
def test_what_is_not_simulated_says_so(server, image, arguments, words):
    server.export(image)
    server.machine.execute("block-dirty-bitmap-add", node="disk", name="b")
    export = {"id": "e", "node-name": "disk", "name": "e", **arguments}
    if arguments["type"] != "nbd":
        del export["name"]
    with pytest.raises(QMPError, match=f"not simulated by qemu-sim: .*{words}"):
        server.machine.execute("block-export-add", export)


@pytest.mark.parametrize("driver", ["raw", "qcow2"])
def test_a_write_beyond_a_threshold_is_told_once(server, tmp_path, program, driver):
    """Of the image, and of the file that it is in."""
    path, machine = tmp_path / "image", server.machine
    program("qemu-img", "create", "-f", driver, path, "4M")
    uri = server.export(path, driver=driver)
    (file,) = (each["node-name"] for each in machine.execute("query-named-block-nodes")
               if each["drv"] == "file")  # fmt: skip
    for node in ("disk", file):
        machine.execute("block-set-write-threshold", node_name=node, write_threshold=150000)
    program("qemu-io", "-f", "raw", "-c", "write 100k 70k", "-c", "write 1M 8k", uri)
    told = [machine.wait_event("BLOCK_WRITE_THRESHOLD")["data"] for _ in range(2)]
    first = {"node-name": "disk", "write-threshold": 150000, "amount-exceeded": 24080}
    assert told[0] == first
    assert told[1]["node-name"] == file
    stats = machine.execute("query-blockstats", query_nodes=True)
    (disk,) = (each["stats"] for each in stats if each["node-name"] == "disk")
    assert disk["wr_highest_offset"] == MIB + (8 << 10)
    assert len([each for each in machine.events if each["event"] == "BLOCK_WRITE_THRESHOLD"]) == 2


def test_a_client_that_reads_no_answer_is_read_no_further(server):
    """Its questions would otherwise fill the memory with answers."""
    refused = b"IHAVEOPT" + struct.pack(">II", 4711, 0)
    with greeted(server.path) as client:
        client.sendall(struct.pack(">I", 3))
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(1 << 16):
                client.sendall(refused * 64)
        client.settimeout(TIMEOUT)
        assert client.recv(8) == struct.pack(">Q", 0x3E889045565A9)
    assert server.machine.execute("query-status")["running"]


@pytest.mark.parametrize("discard", ["unmap", "ignore"])
def test_room_is_given_back_where_that_is_wanted(server, image, program, discard):
    """As far as the nodes were opened so; a guest's own file system is who asks for it."""
    machine = server.machine
    file = {"driver": "file", "filename": str(image), "discard": discard}
    node = {"driver": "raw", "node-name": "disk", "discard": discard, "file": file}
    machine.execute("blockdev-add", node)
    export = {"type": "nbd", "id": "disk", "node-name": "disk", "writable": True}
    machine.execute("block-export-add", export)
    before = image.stat().st_blocks
    program("qemu-io", "-f", "raw", "-d", "unmap", "-c", "discard 0 512k", server.uri("disk"))
    (counts,) = (each["driver-specific"]
                 for each in machine.execute("query-blockstats", query_nodes=True)
                 if "driver-specific" in each)  # fmt: skip
    unmapped = 512 << 10 if discard == "unmap" else 0
    assert counts["discard-bytes-ok"] == unmapped
    assert (before - image.stat().st_blocks) * 512 == unmapped
    assert (image.read_bytes()[: 512 << 10] == bytes(512 << 10)) == bool(unmapped)
