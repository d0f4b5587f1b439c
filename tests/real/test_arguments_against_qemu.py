"""Bad arguments, sent to the real QEMU of this machine: our profile must say the same.

The table is the recorded one, so that another QEMU build than the recorded one is tried
as well; and a random one, with objects of many unknown members.
"""

import os
import random
import shutil

import pytest

from qemu_sim.errors import QMPError
from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.emulator import Emulator
from qemu_sim.qapi.probe import probe_types
from qemu_sim.qapi.schema import Schema

QEMU = os.environ.get("QEMU_SIM_REAL_QEMU") or shutil.which("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="no qemu-system-x86_64 is installed")

BARE = ("-S", "-nodefaults", "-display", "none", "-machine", "none")
BAD = [
    ("device_del", {}),
    ("device_del", {"id": 1}),
    ("device_del", {"id": "a", "x": 1, "y": 2, "z": 3}),
    ("set_link", {"name": "x", "up": 1}),
    ("set_link", {"up": True}),
    ("ringbuf-read", {"device": "x", "size": 1.0}),
    ("ringbuf-read", {"device": "x", "size": 1, "format": "utf16"}),
    ("migrate-set-parameters", {"max-bandwidth": "1G"}),
    ("migrate-set-parameters", {"multifd-channels": -1}),
    ("migrate-set-parameters", {"multifd-channels": 256}),
    ("migrate-set-parameters", {"tls-creds": 1}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "events"}]}),
    ("migrate-set-capabilities", {"capabilities": {}}),
    ("netdev_add", {"id": "n0"}),
    ("netdev_add", {"id": "n0", "type": "nope"}),
    ("netdev_add", {"id": "n0", "type": "hubport", "hubid": 1 << 40}),
    ("netdev_add", {"id": "n0", "type": "stream", "addr": {"type": "inet", "host": "h"}}),
    ("object-add", {"qom-type": "memory-backend-ram", "id": "m", "size": 1, "host-nodes": [-1]}),
    ("blockdev-add", {"driver": "raw", "file": {"driver": "raw", "file": 1}}),
    ("blockdev-add", {"driver": "qcow2", "file": "x", "overlap-check": "zz"}),
    ("transaction", {"actions": [{"type": "abort", "data": {"x": 1}}]}),
    ("send-key", {"keys": [{"type": "number", "data": 1.5}]}),
    ("qom-set", {"path": "/x", "property": "y"}),
    ("query-name", {"x": None}),
]


@pytest.fixture(scope="module")
def emulator():
    with Emulator([QEMU, *BARE]) as running:
        yield running


@pytest.fixture(scope="module")
def schema(emulator):
    recorded = emulator.execute("query-qmp-schema")
    return Schema(recorded, probe_types(emulator, recorded))


def complaint(ask, command, arguments):
    with pytest.raises(QMPError) as caught:
        ask(command, arguments)
    return str(caught.value)


@pytest.mark.parametrize(("command", "arguments"), BAD)
def test_says_what_qemu_says(emulator, schema, command, arguments):
    real = complaint(emulator.execute_with, command, arguments)
    assert complaint(schema.check_arguments, command, arguments) == real


def test_names_the_same_of_many_unexpected_members(emulator, schema):
    chance = random.Random()
    for _ in range(300):
        count = chance.choice((2, 5, 9, 17, 40))
        names = {
            "".join(chance.choices("abcxyz-_09é", k=chance.randint(1, 9))) for _ in range(count)
        }
        arguments = {"name": "x", **dict.fromkeys(names, 1), "up": True}
        real = complaint(emulator.execute_with, "set_link", arguments)
        mine = complaint(schema.check_arguments, "set_link", arguments)
        assert mine == real, arguments


def test_the_shipped_profile_is_a_record_of_this_qemu(emulator, schema):
    version = emulator.execute("query-version")
    found = [
        profile
        for profile in map(profiles.load, profiles.shipped())
        if profile.package == version["package"]
    ]
    if not found:
        pytest.skip(f"no profile of {version['package']} is shipped")
    assert found[0].schema.entities == schema.entities
    assert found[0].schema.facts == schema.facts
