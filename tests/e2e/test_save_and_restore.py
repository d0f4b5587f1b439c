"""A machine is written to a file, over each transport that can; another one goes on from it."""

from __future__ import annotations

import os
import shlex
import subprocess
from contextlib import contextmanager

import pytest

from qemu_sim.testing import QMPError

OLD = ("-sim", "profile=7.2")


class Files:
    """Ways to write a file at `path`, and to read it: each gives a URI, and descriptors."""

    def __init__(self, path) -> None:
        self.path = path
        self.quoted = shlex.quote(path)

    @contextmanager
    def file(self, direction):
        yield f"file:{self.path}", None

    @contextmanager
    def offset(self, direction):
        yield f"file:{self.path},offset=64k", None

    @contextmanager
    def program(self, direction):
        yield {"w": f"exec:cat > {self.quoted}", "r": f"exec:cat {self.quoted}"}[direction], None

    @contextmanager
    def gzip(self, direction):
        command = {"w": f"exec:gzip -1 > {self.quoted}", "r": f"exec:gzip -dc {self.quoted}"}
        yield command[direction], None

    @contextmanager
    def pipe(self, direction):
        """As libvirt does it: another program stands between the machine and the file."""
        source, sink = os.pipe()
        ours, theirs = (sink, source) if direction == "w" else (source, sink)
        with open(self.path, f"{direction}b") as file:
            ends = {"w": {"stdin": theirs, "stdout": file}, "r": {"stdin": file, "stdout": theirs}}
            copy = subprocess.Popen(["cat"], **ends[direction])
        os.close(theirs)
        yield "fd:file", ours
        assert copy.wait(10) == 0  # not before the machine closes its end

    @contextmanager
    def plain(self, direction):
        flags = {"w": os.O_WRONLY | os.O_CREAT, "r": os.O_RDONLY}[direction]
        yield "fd:file", os.open(self.path, flags)


@pytest.fixture
def files(tmp_path):
    return Files(str(tmp_path / "saved machine"))


WAYS = [
    ("file", ()),
    ("offset", ()),
    ("program", ()),
    ("gzip", ()),
    ("pipe", ()),
    ("program", OLD),
    ("pipe", OLD),
    ("plain", OLD),
]


@pytest.mark.parametrize(("way", "settings"), WAYS, ids=lambda each: "".join(each[1:]) or None)
def test_a_machine_goes_on_from_a_file(world, files, way, settings):
    source = world.source(*settings)
    world.use_disk(source)
    world.served_by(source)
    before = source.query_guest()["disk0"].requests
    source.execute(
        "migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}]
    )
    with getattr(files, way)("w") as (uri, fd):
        if fd is not None:
            source.send_fd("file", fd)
            os.close(fd)
        source.execute("migrate", uri=uri)
        source.wait_event("MIGRATION", status="completed")
    assert source.execute("query-status")["status"] == "postmigrate"
    source.execute("quit")
    assert source.wait() == 0

    destination = world.destination(*settings)
    with getattr(files, way)("r") as (uri, fd):
        if fd is not None:
            destination.send_fd("file", fd)
            os.close(fd)
        destination.execute("migrate-incoming", uri=uri)
        destination.wait_event("RESUME")
    world.netns.up("tap0", "10.0.0.1/24")
    assert destination.query_guest()["disk0"].requests >= before
    world.served_by(destination)


def test_what_is_on_the_command_line_is_read_at_the_start(disk_world, files, wait):
    """A program, a file, an inherited number; the file stays as it is."""

    def completed(machine):
        wait(lambda: machine.execute("query-migrate").get("status") == "completed", "completed")

    source = disk_world.source()
    disk_world.use_disk(source)
    source.execute("stop")
    source.execute("migrate", uri=f"file:{files.path}")
    completed(source)
    source.execute("quit")
    for uri in (f"exec:cat {files.quoted}", f"file:{files.path}"):
        machine = disk_world.raw(*disk_world.argv(), "-incoming", uri)
        completed(machine)
        assert machine.execute("query-status")["status"] == "paused"
        machine.execute("quit")
        assert machine.wait() == 0
    with files.pipe("r") as (_, number):
        argv = [*disk_world.argv(), "-incoming", f"fd:{number}"]
        machine = disk_world.raw(*argv, pass_fds=[number])
        completed(machine)
    machine.execute("cont")
    disk_world.moves_blocks(machine)


def test_a_transport_that_breaks_leaves_the_source_running(world, wait, tmp_path):
    """At once where QEMU opens it at once, else later; nothing is lost either way."""

    def failed(words):
        wait(lambda: source.execute("query-migrate").get("status") == "failed", "failed")
        assert words in source.execute("query-migrate")["error-desc"]

    source = world.source()
    world.use_disk(source)
    for uri, words in (
        ("exec:exit 3", "Unable to write to command: Broken pipe"),
        (f"unix:{tmp_path}/nobody", "Failed to connect"),
    ):
        source.execute("migrate", uri=uri)
        failed(words)
    with pytest.raises(QMPError, match="Could not create '/no/such/dir'"):
        source.execute("migrate", uri="file:/no/such/dir")
    failed("Could not create '/no/such/dir'")
    world.served_by(source)
