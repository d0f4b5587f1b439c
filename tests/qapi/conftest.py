import json
import os

import pytest

from qemu_sim.qapi import profile as profiles

DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data")


def recorded(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(params=["7.2", "11.1"])
def version(request):
    return request.param


@pytest.fixture
def profile(version):
    return profiles.load(version)


@pytest.fixture
def read_recorded():
    """Reads what a real QEMU answered: a list of the file's JSON lines."""
    return recorded
