"""A graph, and images made by qemu-img."""

import shutil
import subprocess

import pytest

from qemu_sim.block.graph import Graph


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

    def run(*arguments):
        done = subprocess.run(
            [program, *map(str, arguments)], check=True, capture_output=True, text=True
        )
        return done.stdout

    return run
