"""What either end of a migration says to commands in its midst, ours and a real QEMU beside it.

It is held where QEMU can be held, too: at pre-switchover, when the guest is stopped and the
destination waits for its devices. The words are those that 11.1.3 and 7.2.22 were heard to say.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi.emulator import Emulator

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
OURS = [sys.executable, "-m", "qemu_sim"]
BARE = ("-nodefaults", "-display", "none", "-machine", "pc", "-m", "16")
NIC = ("-netdev", "hubport,hubid=0,id=net0", "-device", "virtio-net-pci,id=nic0,netdev=net0")
TIMEOUT = 20  # seconds
UNDER_WAY = "There's a migration process in progress"
NOWHERE = {"uri": "unix:/no/such/path"}
XBZRLE = {"capabilities": [{"capability": "xbzrle", "state": True}]}
EVERYWHERE = (
    ("stop", {}, None),
    ("system_powerdown", {}, None),
    ("set_link", {"name": "nic0", "up": True}, None),
    ("migrate-set-parameters", {"downtime-limit": 100}, None),
    ("migrate-incoming", NOWHERE, {
        "source": "'-incoming' was not specified on the command line",
        "destination": "The incoming migration has already been started",
    }),
    ("migrate-recover", NOWHERE, "Migrate recover can only be run when postcopy is paused."),
    ("migrate-start-postcopy", {}, {
        "source": "Enable postcopy with migrate_set_capability before the start of migration",
        "destination": "Enable postcopy with migrate_set_capability before the start of migration",
    }),
    ("migrate", NOWHERE, {
        "source": UNDER_WAY, "destination": "Guest is waiting for an incoming migration",
    }),
    ("migrate-set-capabilities", XBZRLE, {"source": UNDER_WAY}),
    ("migrate-continue", {"state": "device"}, {
        "source": "Migration not in expected state: pre-switchover",
        "destination": "Migration not in expected state: none",
    }),
    ("cont", {}, {"source": "Migration is not finalized yet"}),
    ("device_del", {"id": "nic0"}, {"source": "device_del not allowed while migrating"}),
)  # fmt: skip
HERE_ALONE = ("device_del",)  # a destination of ours refuses it while it reads


class Ends:
    """A source that is held at pre-switchover, and its destination."""

    def __init__(self, program, directory) -> None:
        argv = [*program, *BARE, *NIC]
        self.destination = Emulator([*argv, "-incoming", "defer"])
        self.source = Emulator(argv)
        uri = f"unix:{directory}/mig"
        self.is_new = self.source.greeting["version"]["qemu"]["major"] > 7
        survive = {"exit-on-error": False} if self.is_new else {}
        wanted = [{"capability": "pause-before-switchover", "state": True}]
        self.source.execute("migrate-set-capabilities", capabilities=wanted)
        self.destination.execute_with("migrate-incoming", {"uri": uri, **survive})
        self.source.execute("migrate", uri=uri)
        self.until(self.source, "pre-switchover")

    def until(self, end, *statuses) -> None:
        deadline = time.monotonic() + TIMEOUT
        while end.execute("query-migrate").get("status") not in statuses:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def state(self, end) -> str:
        return end.execute("query-status")["status"]

    def close(self) -> None:
        self.source.close()
        self.destination.close()


@pytest.fixture(params=["11.1", "7.2", "real"])
def ends(request, tmp_path):
    if request.param == "real" and QEMU is None:
        pytest.skip("no qemu-system-x86_64 is installed")
    ours = [*OURS, "-sim", f"profile={request.param}"]
    made = Ends(ours if request.param != "real" else [QEMU, "-accel", "tcg"], tmp_path)
    yield made
    made.close()


def said(end, command, arguments):
    """Return the error's words, None where there is none."""
    try:
        end.execute_with(command, arguments)
    except QMPError as error:
        return str(error)
    return None


@pytest.mark.parametrize("side", ["source", "destination"])
def test_commands_in_its_midst(ends, side):
    end = getattr(ends, side)
    for command, arguments, words in EVERYWHERE:
        if side == "destination" and command in HERE_ALONE:
            continue
        expected = words.get(side) if isinstance(words, dict) else words
        assert said(end, command, arguments) == expected, command
    assert ends.state(ends.source) == "finish-migrate"
    assert ends.state(ends.destination) == "inmigrate"
    ends.source.execute("migrate-continue", state="pre-switchover")
    for each in (ends.source, ends.destination):
        ends.until(each, "completed")
    assert ends.state(ends.source) == "postmigrate"
    assert ends.state(ends.destination) == "running"


def test_a_guest_that_was_to_stop_meanwhile_goes_on_after_a_cancel(ends):
    """QEMU heeds `stop` where the guest runs; it goes back to what it was before."""
    ends.source.execute("stop")
    ends.source.execute("migrate_cancel")
    ends.until(ends.source, "cancelled")
    assert ends.state(ends.source) == "running"


def test_a_destination_that_quits_leaves_the_source_running(ends):
    said(ends.destination, "quit", {})
    assert ends.destination._process.wait(TIMEOUT) == 0
    ends.source.execute("migrate-continue", state="pre-switchover")
    ends.until(ends.source, "failed")
    assert ends.state(ends.source) == "running"


def test_a_source_that_is_told_to_end_takes_its_machine_along(ends):
    os.kill(ends.source.pid, signal.SIGTERM)
    assert ends.source._process.wait(TIMEOUT) == 0
    if not ends.is_new:  # it ends when a migration fails
        assert ends.destination._process.wait(TIMEOUT) == 1
        return
    ends.until(ends.destination, "failed")
    assert ends.state(ends.destination) == "inmigrate"
