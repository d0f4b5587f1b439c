"""A graph, and images made by qemu-img."""

import shutil
import subprocess

import pytest

from qemu_sim.block.graph import Graph

_READERS = ("check", "compare", "info")  # of images that are open, and so locked, meanwhile


class Job:
    """As much of a job as its nodes need."""

    id = "j"
    spoken = "job 'j'"

    def __init__(self):
        self.edges = []
        self.settled = []
        self.failed = False

    def __call__(self):
        return self

    def blocker(self, role):
        return "block device is in use by block job: some"

    def settle(self):
        for call in self.settled:
            call()

    def fail(self):
        self.failed = True
        self.settle()


@pytest.fixture(scope="session")
def new_job():
    """Make a job without work."""
    return Job


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
