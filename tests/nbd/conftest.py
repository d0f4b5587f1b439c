"""A machine with images that it exports, and the programs of others that use them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

MIB = 1 << 20


@pytest.fixture
def program():
    """Run a program to its end and return what it printed; skipped where there is none."""

    def run(name, *arguments, status=0):
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed")
        command = [path, *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture
def image(tmp_path):
    """A raw image of 4 MiB: one of noise, then nothing."""
    path = tmp_path / "image"
    path.write_bytes(os.urandom(MIB))
    os.truncate(path, 4 * MIB)
    return path


@pytest.fixture
def empty(tmp_path):
    """A raw image of 4 MiB of nothing."""
    path = tmp_path / "empty"
    path.write_bytes(b"")
    os.truncate(path, 4 * MIB)
    return path


class Server:
    """A machine with an NBD server."""

    def __init__(self, machine, path):
        self.machine = machine
        self.path = path
        self.address = {"type": "unix", "data": {"path": str(path)}}

    def start(self, **options):
        self.machine.execute("nbd-server-start", {"addr": self.address, **options})
        return self

    def export(self, image, name="disk", driver="raw", **more):
        """Export an image under the name of its node; returns its address."""
        file = {"driver": "file", "filename": str(image)}
        node = {"driver": driver, "node-name": name, "file": file}
        self.machine.execute("blockdev-add", node)
        export = {"type": "nbd", "id": name, "node-name": name, "writable": True, **more}
        self.machine.execute("block-export-add", export)
        return self.uri(name)

    def uri(self, name):
        return f"nbd+unix:///{name}?socket={self.path}"


@pytest.fixture
def make_server(make_machine, tmp_path):
    def make(*arguments, name="vm"):
        machine = make_machine("-machine", "none", *arguments, name=name)
        return Server(machine, tmp_path / f"{name}.nbd")

    return make


@pytest.fixture
def server(make_server):
    return make_server().start()
