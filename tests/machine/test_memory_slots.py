"""Memory that is plugged: pc-dimm, its places, and QEMU's words for those there are not."""

import pytest

from qemu_sim.testing.client import QMPError

MIB = 1 << 20
SIZES = {"m0": "64M", "m1": "64M", "m2": "128M", "odd": "3M", "big": "2G"}
OBJECTS = [
    word
    for id, size in SIZES.items()
    for word in ("-object", f"memory-backend-ram,id={id},size={size}")
]


@pytest.fixture
def start(make_machine):
    def start(memory="128M,slots=3,maxmem=1G", machine="pc", more=()):
        return make_machine("-machine", machine, "-m", memory, *OBJECTS, *more)

    return start


def plug(machine, memdev, **properties):
    machine.execute("device_add", driver="pc-dimm", memdev=memdev, **properties)


def dimms(machine):
    return [each["data"] for each in machine.execute("query-memory-devices")]


def test_a_dimm_comes_and_goes(start):
    machine = start()
    plug(machine, "m0", id="d0")
    [dimm] = dimms(machine)
    assert dimm == {
        "id": "d0",
        "addr": 1 << 32,
        "slot": 0,
        "node": 0,
        "size": 64 * MIB,
        "memdev": "/objects/m0",
        "hotplugged": True,
        "hotpluggable": True,
    }
    summary = machine.execute("query-memory-size-summary")
    assert summary == {"base-memory": 128 * MIB, "plugged-memory": 64 * MIB}
    printed = machine.execute("human-monitor-command", command_line="info numa")
    assert printed.endswith("node 0 size: 192 MB\r\nnode 0 plugged: 64 MB\r\n")
    path = "/machine/peripheral/d0"
    assert machine.execute("qom-get", path=path, property="memdev") == "/objects/m0"
    with pytest.raises(QMPError, match="Cannot delete host memory backend 'm0' which is mapped"):
        machine.execute("object-del", id="m0")
    machine.execute("device_del", id="d0")
    machine.wait_event("DEVICE_DELETED", device="d0")
    assert dimms(machine) == []
    machine.execute("object-del", id="m0")


def test_each_goes_to_the_first_gap(start):
    machine = start()
    plug(machine, "m0", id="d0", addr=0x104000000)
    plug(machine, "m1", id="d1", slot=2)
    plug(machine, "m2", id="d2")
    found = [(each["id"], each["addr"], each["slot"]) for each in dimms(machine)]
    assert found == [("d1", 0x100000000, 2), ("d0", 0x104000000, 0), ("d2", 0x108000000, 1)]
    printed = machine.execute("human-monitor-command", command_line="info memory-devices")
    assert printed.startswith('Memory device [dimm]: "d1"\r\n  addr: 0x100000000\r\n  slot: 2\r\n')


@pytest.mark.parametrize(
    ("machine", "size", "address"),
    [("pc", 4, 5), ("q35", 4, 6), ("q35", 3, 5), ("pc", 3, 4), ("q35", 2, 4)],
)
def test_it_begins_above_ram(start, machine, size, address):
    running = start(f"{size}G,slots=2,maxmem=8G", machine, ("-device", "pc-dimm,memdev=m0"))
    [dimm] = dimms(running)
    assert dimm["addr"] == address << 30
    assert not dimm["hotplugged"]


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({}, "'memdev' property must be set"),
        ({"memdev": "nope"}, "Device 'nope' not found"),
        ({"memdev": "m0"}, "can't use already busy memdev: m0"),
        ({"memdev": "m1", "slot": 0}, "slot 0 is busy"),
        ({"memdev": "m1", "slot": 7}, "invalid slot number 7, valid range is [0-2]"),
        (
            {"memdev": "m1", "node": 3},
            "'DIMM property node has value 3' which exceeds the number of numa nodes: 1",
        ),
        ({"memdev": "m1", "addr": 0x1000}, "address must be aligned to 0x200000 bytes"),
        (
            {"memdev": "m1", "addr": 1 << 32},
            "address range conflicts with memory device id='d0'",
        ),
        (
            {"memdev": "m1", "addr": 0x1000000},
            (
                "can't add memory device [0x1000000:0x4000000], "
                "usable range for memory devices [0x100000000:0xf8000000]"
            ),
        ),
        (
            {"memdev": "big"},
            (
                "not enough space, currently 0x4000000 in use of total space for memory devices "
                "0x38000000"
            ),
        ),
        ({"memdev": "odd"}, "backend memory size must be multiple of 0x200000"),
        ({"memdev": "m1", "bus": "pci.0"}, "Device 'pc-dimm' can't go on PCI bus"),
    ],
)
def test_where_none_can_go(start, properties, words):
    machine = start()
    plug(machine, "m0", id="d0")
    with pytest.raises(QMPError) as caught:
        machine.execute("device_add", {"driver": "pc-dimm", **properties})
    assert caught.value.desc == words
    assert len(dimms(machine)) == 1


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ("pc", "no slots where allocated, please specify the 'slots' option"),
        ("none", "Device 'pc-dimm' can not be hotplugged on this machine"),
    ],
)
def test_machines_without_slots(start, machine, words):
    with pytest.raises(QMPError) as caught:
        plug(start("128M", machine), "m0")
    assert caught.value.desc == words


@pytest.fixture
def with_nvdimms(start):
    return start(machine="q35,nvdimm=on")


def test_an_nvdimm_keeps_its_label_at_the_end_and_stays(with_nvdimms):
    machine = with_nvdimms
    machine.execute("device_add", driver="nvdimm", id="n0", memdev="m0", label_size=128 << 10)
    plug(machine, "m1", id="d0")
    first, second = machine.execute("query-memory-devices")
    assert (first["type"], second["type"]) == ("nvdimm", "dimm")
    assert first["data"]["size"] == 62 * MIB
    assert second["data"]["addr"] == first["data"]["addr"] + 62 * MIB
    with pytest.raises(QMPError, match="nvdimm device hot unplug is not supported yet"):
        machine.execute("device_del", id="n0")


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (
            {"memdev": "m0", "label_size": 1000},
            r"Property 'nvdimm.label-size' \(0x3e8\) is required at least 0x20000",
        ),
        (
            {"memdev": "m0", "label_size": 63 * MIB},
            (
                r"the size of memdev m0 \(0x4000000\) is too small to contain nvdimm label"
                r" \(0x3f00000\) and aligned PMEM \(0x200000\)"
            ),
        ),
        ({}, "'memdev' property must be set"),
    ],
)
def test_what_no_nvdimm_can_be(with_nvdimms, properties, words):
    with pytest.raises(QMPError, match=f"^{words}$"):
        with_nvdimms.execute("device_add", driver="nvdimm", **properties)
    with_nvdimms.execute("device_add", driver="nvdimm", memdev="m0")  # the backend is free again


def test_a_machine_takes_nvdimms_only_if_it_was_told_so(start):
    with pytest.raises(QMPError, match="nvdimm is not enabled: missing 'nvdimm' in '-M'"):
        start().execute("device_add", driver="nvdimm", memdev="m0")
