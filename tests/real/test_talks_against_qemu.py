"""The recorded conversations are QEMU's: the same requests to the one that is installed."""

import json
import pathlib
import shutil

import pytest

from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.emulator import Emulator

QEMU = "qemu-system-x86_64"
DATA = pathlib.Path(__file__).parents[1] / "data"
# Whose answers depend on the host or on how soon they come.
UNSTEADY = ("reset", "preconfig", "actions", "human monitor", "under way")


@pytest.fixture(scope="module")
def talks():
    """Those of the profile whose version the installed QEMU has."""
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed")
    with Emulator([QEMU, "-nodefaults", "-display", "none", "-machine", "none"]) as emulator:
        found = emulator.execute("query-version")["qemu"]
    version = found["major"], found["minor"], found["micro"]
    name = f"{found['major']}.{found['minor']}"
    if name not in profiles.shipped() or profiles.load(name).version != version:
        pytest.skip(f"{QEMU} {version} is not the recorded one")
    lines = (DATA / f"talks-{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_qemu_still_says_so(talks):
    steady = [talk for talk in talks if not any(word in talk["name"] for word in UNSTEADY)]
    assert steady
    for talk in steady:
        with Emulator([QEMU, *talk["argv"]]) as emulator:
            for request, messages in talk["talk"]:
                (expected,) = (each for each in messages if {"return", "error"} & set(each))
                assert answer(emulator, request) == stable(expected), (talk["name"], request)


def answer(emulator, request):
    from qemu_sim.errors import QMPError

    try:
        result = emulator.execute_with(request["execute"], request.get("arguments", {}))
    except QMPError as error:
        return {"error": {"desc": str(error)}}
    return {"return": stable(result)}


def stable(value):
    """The value without what differs from run to run; of an error only the text."""
    if isinstance(value, dict):
        varies = ("timestamp", "thread-id", "start-time", "class")
        return {key: stable(each) for key, each in value.items() if key not in varies}
    return [stable(each) for each in value] if isinstance(value, list) else value
