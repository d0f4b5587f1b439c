"""A real QEMU and a qemu-sim on one image: whoever comes second is told the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from itertools import product

import pytest

from qemu_sim.errors import QMPError as TheirError
from qemu_sim.qapi.emulator import Emulator
from qemu_sim.testing import QMPError as OurError

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
pytestmark = [
    pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed"),
    pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed"),
]

MACHINE = ("-nodefaults", "-machine", "q35", "-m", "2")
TIMEOUT = 20  # seconds
USERS = {
    "writer": {},
    "reader": {"read-only": True},
    "sharer": {"read-only": True, "force-share": True},
    "unlocked": {"locking": "off"},
}


@pytest.fixture
def qemu_sim_mode():
    return "daemon"


@pytest.fixture
def image(tmp_path):
    path = str(tmp_path / "image")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
    return path


@pytest.fixture
def theirs():
    made = Emulator([str(QEMU), *MACHINE, "-display", "none", "-accel", "tcg"])
    yield made
    made.close()


@pytest.fixture
def profile(theirs):
    """The QEMU to be."""
    version = "{major}.{minor}".format(**theirs.greeting["version"]["qemu"])
    if version not in ("7.2", "11.1"):
        pytest.skip(f"no profile of QEMU {version}")
    return version


def tree(image, **more):
    """An image that needs its file for itself, unless `more` says otherwise."""
    locking = {key: more.pop(key) for key in ("locking",) if key in more}
    file = {"driver": "file", "filename": image, **locking}
    return {"driver": "qcow2", "node-name": "n", "file": file, **more}


def told(execute, options):
    """What is said to who adds the node; None where it works."""
    try:
        execute("blockdev-add", options)
    except (OurError, TheirError) as error:
        return str(error)
    execute("blockdev-del", {"node-name": "n"})
    return None


@pytest.mark.parametrize("pair", list(product(USERS, USERS)), ids="-".join)
def test_both_refuse_each_other_alike(make_machine, theirs, profile, image, pair):
    first, second = pair
    ours = make_machine("-sim", f"profile={profile}", *MACHINE)
    answers = []
    for one, other in (
        (theirs.execute_with, ours.execute),
        (ours.execute, theirs.execute_with),
    ):
        one("blockdev-add", tree(image, **USERS[first]))
        answers.append(told(other, tree(image, **USERS[second])))
        one("blockdev-del", {"node-name": "n"})
    assert answers[0] == answers[1]
    assert (answers[0] is None) == (
        "unlocked" in (first, second) or "sharer" in (first, second) or first == second == "reader"
    )


def test_an_image_comes_with_the_machine(make_machine, theirs, profile, image, tmp_path):
    theirs.execute_with("blockdev-add", tree(image))
    uri = f"unix:{tmp_path}/migration"
    ours = make_machine("-sim", f"profile={profile}", *MACHINE, "-incoming", uri)
    ours.execute("blockdev-add", tree(image))
    theirs.execute("migrate", uri=uri)
    end = time.monotonic() + TIMEOUT
    while theirs.execute("query-status")["status"] != "postmigrate":
        assert time.monotonic() < end, theirs.execute("query-migrate")
        time.sleep(0.05)
    assert ours.execute("query-status")["running"]
    with pytest.raises(TheirError, match='Failed to get "write" lock'):
        theirs.execute("cont")
