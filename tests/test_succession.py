"""A process that leaves its machine to another program, and what is left if there is none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from qemu_sim import succession
from qemu_sim.errors import MigrationError
from qemu_sim.machine.configuration import CPR_STATE
from qemu_sim.virtio.memory import GuestMemory
from qemu_sim.wire import cpr

BECOMES = """
import sys
from qemu_sim.succession import become
from qemu_sim.virtio.memory import GuestMemory
memory = GuestMemory(4096, shared=sys.argv[1] == "shared", name="ram")
memory.write(0, b"kept")
become(["sh", "-c", sys.argv[2], "sh", str(memory.fd.fileno())], memory)
"""


@pytest.fixture
def memory():
    made = GuestMemory(4096, shared=True, name="ram")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("/no/such/program", "No such file or directory"),
        ("", "No such file or directory"),
        ("/etc/passwd", "Permission denied"),
    ],
)
def test_without_such_a_program_all_is_as_before(memory, program, reason):
    before = sorted(os.listdir("/proc/self/fd"))
    number = memory.fd.fileno()
    with pytest.raises(MigrationError) as error:
        succession.become([program, "argument"], memory)
    assert str(error.value) == f"execvp {program} failed: {reason}"
    assert CPR_STATE not in os.environ
    assert not os.get_inheritable(number)
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1  # RAM itself, which was made


def said_by_next(kind, script):
    run = [sys.executable, "-c", BECOMES, kind, script]
    return subprocess.run(run, capture_output=True, check=True).stdout


def test_the_next_program_inherits_ram_and_where_it_is():
    said = said_by_next(
        "shared", f"echo $1; head -c 4 /proc/self/fd/$1; cat /proc/self/fd/${CPR_STATE}"
    )
    number, _, rest = said.partition(b"\n")
    state = cpr.HEADER + cpr.entry("ram") + cpr.number(int(number)) + cpr.TAIL
    assert rest == b"kept" + state


def test_ram_that_is_not_shared_is_lost():
    """As QEMU 11.1.3 loses it."""
    assert said_by_next("private", "test -e /proc/self/fd/$1 || echo closed") == b"closed\n"
