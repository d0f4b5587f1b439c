"""A graph, and images made by qemu-img."""

import shutil
import subprocess

import pytest

from qemu_sim.block.graph import Graph

_READERS = ("check", "compare", "info")  # of images that are open, and so locked, meanwhile


@pytest.fixture
def objects():
    """What a machine's objects would be."""
    return {}


@pytest.fixture
def graph(objects):
    made = Graph(objects)
    yield made
    made.close()


@pytest.fixture
def qemu_img():
    """Run qemu-img; skipped where there is none."""
    program = shutil.which("qemu-img")
    if program is None:
        pytest.skip("qemu-img is not installed")

    def run(command, *arguments):
        shared = ["-U"] if command in _READERS else []
        done = subprocess.run(
            [program, command, *shared, *map(str, arguments)],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    return run
