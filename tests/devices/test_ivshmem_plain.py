"""ivshmem-plain: it keeps its memory, and a peer keeps the machine where it is."""

import pytest

from qemu_sim.testing.client import QMPError

MEMORY = ("-object", "memory-backend-ram,id=m,size=1M")
BLOCKED = "Migration is disabled when using feature 'peer mode' in device 'ivshmem'"


def refusal(machine, command, **arguments):
    with pytest.raises(QMPError) as error:
        machine.execute(command, **arguments)
    return error.value.desc


def test_a_peer_cannot_migrate(make_machine):
    machine = make_machine("-M", "pc", *MEMORY, "-device", "ivshmem-plain,id=iv,memdev=m")
    assert machine.execute("query-migrate") == {"blocked-reasons": [BLOCKED]}
    assert refusal(machine, "migrate", uri="exec:cat>/dev/null") == BLOCKED
    machine.execute("device_del", id="iv")
    machine.wait_event("DEVICE_DELETED")
    assert machine.execute("query-migrate") == {}


def test_a_master_can(make_machine):
    machine = make_machine("-M", "pc", *MEMORY, "-device", "ivshmem-plain,memdev=m,master=on")
    assert machine.execute("query-migrate") == {}


def test_memory_is_one_devices(make_machine):
    machine = make_machine("-M", "pc", *MEMORY)
    words = {
        "You must specify a 'memdev'": {},
        "Device 'x' not found": {"memdev": "x"},
        "can't use already busy memdev: m": {"memdev": "m"},
    }
    machine.execute("device_add", driver="ivshmem-plain", id="iv", memdev="m")
    for text, options in words.items():
        assert refusal(machine, "device_add", driver="ivshmem-plain", **options) == text
    assert machine.execute("qom-get", path="iv", property="memdev") == "/objects/m"
    mapped = "Cannot delete host memory backend 'm' which is mapped"
    assert refusal(machine, "object-del", id="m") == mapped
    machine.execute("device_del", id="iv")
    machine.execute("object-del", id="m")
