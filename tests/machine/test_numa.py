"""NUMA nodes: by -numa, and by set-numa-node before the machine is initialized.

QEMU: tests/qtest/numa-test.c, hw/core/numa.c; the words are those of QEMU 7.2 and 11.1.
"""

import subprocess
import sys

import pytest

from qemu_sim.testing.client import QMPError

RAM = ("-object", "memory-backend-ram,id=ram,size=128M")
HALVES = (
    *("-object", "memory-backend-ram,id=m0,size=64M"),
    *("-object", "memory-backend-ram,id=m1,size=64M"),
)
SMP = ("-smp", "4,sockets=2,cores=2")
HMAT_OFF = (
    "ACPI Heterogeneous Memory Attribute Table (HMAT) is disabled, enable it with -machine hmat=on "
    "before using any of hmat specific options"
)


@pytest.fixture
def start(make_machine):
    def start(*options, machine="pc", more=()):
        numa = [word for option in options for word in ("-numa", option)]
        argv = ["-machine", machine, "-m", "128M", *SMP, *RAM, *HALVES, *more, *numa]
        return make_machine(*argv)

    return start


def nodes(machine):
    """Return the CPUs and the megabytes of each node."""
    lines = machine.execute("human-monitor-command", command_line="info numa").split("\r\n")
    cpus = [line.partition("cpus:")[2].split() for line in lines if "cpus:" in line]
    sizes = [int(line.split()[-2]) for line in lines if "size:" in line]
    assert lines[0] == f"{len(cpus)} nodes"
    return [([int(cpu) for cpu in each], size) for each, size in zip(cpus, sizes, strict=True)]


def test_each_socket_has_a_node_by_default(start):
    machine = start("node,memdev=m0", "node,memdev=m1")
    assert nodes(machine) == [([0, 1], 64), ([2, 3], 64)]
    assert [cpu["props"]["node-id"] for cpu in machine.execute("query-cpus-fast")] == [0, 0, 1, 1]


def test_cpus_by_number(start):
    machine = start("node,memdev=ram,cpus=0,cpus=3", "node,nodeid=1,cpus=1-2")
    assert nodes(machine) == [([0, 3], 128), ([1, 2], 0)]


@pytest.mark.parametrize("mode", ["-numa", "set-numa-node"])
def test_cpus_by_place(make_machine, mode):
    places = [
        {"type": "node", "nodeid": 0, "memdev": "ram"},
        {"type": "node", "nodeid": 1},
        {"type": "cpu", "node-id": 1, "socket-id": 0},
        {"type": "cpu", "node-id": 0, "socket-id": 1, "core-id": 0},
        {"type": "cpu", "node-id": 1, "socket-id": 1, "core-id": 1},
    ]
    if mode == "-numa":
        texts = [",".join(f"{key}={value}" for key, value in each.items()) for each in places]
        words = [word for text in texts for word in ("-numa", text)]
        machine = make_machine("-machine", "pc", *SMP, *RAM, *words)
    else:
        machine = make_machine("-machine", "pc", *SMP, *RAM, "--preconfig")
        for each in places:
            machine.execute("set-numa-node", each)
        machine.execute("x-exit-preconfig")
        machine.wait_event("RESUME")
    assert nodes(machine) == [([2], 128), ([0, 1, 3], 0)]
    assert [each["props"]["node-id"] for each in machine.execute("query-hotpluggable-cpus")] == [
        1,
        0,
        1,
        1,
    ]


def test_memory_that_may_be_plugged_makes_a_node(make_machine):
    machine = make_machine("-machine", "pc", "-m", "128M,slots=2,maxmem=1G", *SMP)
    assert nodes(machine) == [([0, 1, 2, 3], 128)]


def test_ram_is_that_of_a_single_backend(start):
    machine = start("node,memdev=ram", "node")
    with pytest.raises(QMPError, match="Cannot delete host memory backend 'ram' which is mapped"):
        machine.execute("object-del", id="ram")


WRONG = [
    ("node,memdev=m0", "total memory for NUMA nodes (0x4000000) should equal RAM size (0x8000000)"),
    ("node,memdev=nope", "-numa node,memdev=nope: memdev=nope is ambiguous"),
    (
        "node,memdev=ram,cpus=9",
        "-numa node,memdev=ram,cpus=9: CPU index (9) should be smaller than maxcpus (4)",
    ),
    ("node,memdev=ram,foo=1", "-numa node,memdev=ram,foo=1: Invalid parameter 'foo'"),
    ("foo", "-numa foo: Parameter 'type' does not accept value 'foo'"),
    ("node,nodeid=200", "-numa node,nodeid=200: Max number of NUMA nodes reached: 200"),
    ("node,nodeid=1,memdev=ram", "numa: Node ID missing: 0"),
    ("node,memdev=ram node,nodeid=0", "-numa node,nodeid=0: Duplicate NUMA nodeid: 0"),
    ("node,memdev=ram,initiator=0", f"-numa node,memdev=ram,initiator=0: {HMAT_OFF}"),
    (
        "node,memdev=ram node dist,src=0,dst=1,val=5",
        "-numa dist,src=0,dst=1,val=5: NUMA distance (5) is invalid, it shouldn't be less than 10.",
    ),
    (
        "node,memdev=ram node node dist,src=0,dst=1,val=15",
        (
            "The distance between node 0 and 2 is missing, at least one distance value between each "
            "nodes should be provided."
        ),
    ),
    (
        (
            "node,memdev=ram node node dist,src=0,dst=1,val=15 dist,src=1,dst=0,val=16 "
            "dist,src=0,dst=2,val=16 dist,src=1,dst=2,val=16"
        ),
        (
            "At least one asymmetrical pair of distances is given, please provide distances for both "
            "directions of all node pairs."
        ),
    ),
    (
        "node,memdev=ram node cpu,node-id=1,socket-id=0 cpu,node-id=0,socket-id=0",
        "-numa cpu,node-id=0,socket-id=0: CPU is already assigned to node-id: 1",
    ),
    (
        "node,memdev=ram cpu,node-id=0,socket-id=9",
        "-numa cpu,node-id=0,socket-id=9: no match found",
    ),
    (
        "node,memdev=ram cpu,node-id=0,die-id=0",
        "-numa cpu,node-id=0,die-id=0: die-id is not supported",
    ),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_what_is_wrong_ends_the_start(options, words):
    numa = [word for option in options.split() for word in ("-numa", option)]
    program = [sys.executable, "-m", "qemu_sim", "-machine", "pc", "-m", "128M", "-display", "none"]
    ended = subprocess.run(
        [*program, *SMP, *RAM, *HALVES, *numa],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ended.returncode == 1
    assert ended.stderr.partition(": ")[2] == f"{words}\n"


def test_shared_backends_cannot_be_joined(make_machine):
    shared = [f"memory-backend-memfd,id=s{number},size=64M,share=on" for number in range(2)]
    objects = [word for each in shared for word in ("-object", each)]
    numa = ["-numa", "node,memdev=s0", "-numa", "node,memdev=s1"]
    with pytest.raises(Exception, match="in several shared memory backends is not simulated"):
        make_machine("-machine", "pc", "-m", "128M", *objects, *numa)


def test_once_initialized_it_is_too_late(start):
    with pytest.raises(QMPError, match="only before the machine has been created"):
        start().execute("set-numa-node", type="node")


@pytest.fixture
def hmat(start):
    return start(
        *("node,memdev=m0", "node,memdev=m1,initiator=0"),
        *("cpu,node-id=0,socket-id=0", "cpu,node-id=0,socket-id=1"),
        machine="pc,hmat=on",
        more=["--preconfig"],
    )


def speed(machine, kind, value, **nodes):
    what = "latency" if kind.endswith("latency") else "bandwidth"
    given = {"type": "hmat-lb", "hierarchy": "memory", "data-type": kind, what: value}
    machine.execute("set-numa-node", {**given, **nodes})


def cache(machine, level, size, node=0):
    given = {"associativity": "direct", "policy": "write-back", "line": 8}
    place = {"type": "hmat-cache", "node-id": node, "level": level, "size": size}
    machine.execute("set-numa-node", {**place, **given})


def test_how_fast_memory_is(hmat):
    near, far = {"initiator": 0, "target": 0}, {"initiator": 0, "target": 1}
    speed(hmat, "access-latency", 1, **near)
    speed(hmat, "access-latency", 65534, **far)
    with pytest.raises(QMPError, match="Duplicate configuration of the latency"):
        speed(hmat, "access-latency", 5, **near)
    with pytest.raises(QMPError, match="node-id=0 should be provided before memory side"):
        cache(hmat, 1, 10240)
    speed(hmat, "access-bandwidth", 65534 << 20, **near)
    with pytest.raises(QMPError, match="should be 1MB aligned"):
        speed(hmat, "read-bandwidth", 1048575, **near)
    with pytest.raises(QMPError, match="isn't an initiator proximity domain"):
        speed(hmat, "read-latency", 1, initiator=1, target=0)
    cache(hmat, 1, 10240)
    with pytest.raises(QMPError, match=r"should be larger than the size\(10240\) of level=1"):
        cache(hmat, 2, 10240)
    with pytest.raises(QMPError, match="Cache level=2 shall be defined first"):
        cache(hmat, 3, 20480)
    hmat.execute("x-exit-preconfig")
    hmat.wait_event("RESUME")


def test_speeds_that_one_table_cannot_hold(hmat):
    speed(hmat, "access-latency", 1, initiator=0, target=0)
    with pytest.raises(QMPError, match="should not differ from previously entered min or max"):
        speed(hmat, "access-latency", 65535, initiator=0, target=1)
    with pytest.raises(QMPError, match="should not differ from previously entered values"):
        speed(hmat, "access-bandwidth", 65535 << 20, initiator=0, target=1)
