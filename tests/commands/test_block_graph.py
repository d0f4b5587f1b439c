"""What only developers of QEMU ask of the block graph; the words are those of 11.1.3."""

import hashlib

import pytest

from qemu_sim.block.drive import Use
from qemu_sim.errors import QMPError


@pytest.fixture
async def nodes(run):
    """The node `r` above `a`."""
    await run("blockdev-add", {"driver": "null-co", "node-name": "a"})
    await run("blockdev-add", {"driver": "raw", "node-name": "r", "file": "a"})


async def test_the_graph_is_told_with_its_permissions(run, nodes):
    assert await run("x-debug-query-block-graph") == {
        "edges": [
            {
                "name": "file",
                "parent": 2,
                "shared-perm": ["resize", "write-unchanged", "write", "consistent-read"],
                "perm": [],
                "child": 1,
            }
        ],
        "nodes": [
            {"name": "r", "type": "block-driver", "id": 2},
            {"name": "a", "type": "block-driver", "id": 1},
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"parent": "zz", "node": "a"}, "Cannot find device='zz' nor node-name='zz'"),
        ({"parent": "r"}, "Either child or node must be specified"),
        (
            {"parent": "r", "child": "file", "node": "a"},
            "The parameters child and node are in conflict",
        ),
        ({"parent": "r", "child": "zz"}, "Node 'r' does not have child 'zz'"),
        ({"parent": "r", "child": "file"}, "The node r does not support removing a child"),
        ({"parent": "r", "node": "zz"}, "Node 'zz' not found"),
        ({"parent": "r", "node": "a"}, "The node r does not support adding a child"),
    ],
)
async def test_no_node_here_takes_more_children(run, nodes, arguments, text):
    with pytest.raises(QMPError) as caught:
        await run("x-blockdev-change", arguments)
    assert str(caught.value) == text


async def test_nodes_move_to_a_thread_unless_a_device_is_above(run, nodes, machine):
    await run("object-add", {"qom-type": "iothread", "id": "io"})
    to_io, to_main = {"iothread": "io"}, {"iothread": None}
    await run("x-blockdev-set-iothread", {"node-name": "a", **to_io})
    machine.board.drives.attach("d.drive", "r", "vb", Use())
    with pytest.raises(QMPError, match=r"^Cannot change iothread of active block backend$"):
        await run("x-blockdev-set-iothread", {"node-name": "a", **to_io})
    await run("x-blockdev-set-iothread", {"node-name": "a", **to_main})
    with pytest.raises(QMPError, match=r"^Node r is associated with a BlockBackend and could be"):
        await run("x-blockdev-set-iothread", {"node-name": "r", **to_main})
    await run("x-blockdev-set-iothread", {"node-name": "r", "force": True, **to_main})
    with pytest.raises(QMPError, match=r"^Cannot find iothread nope$"):
        await run("x-blockdev-set-iothread", {"node-name": "a", "iothread": "nope"})


@pytest.mark.parametrize(
    ("granularity", "found"),
    [
        (1 << 26, "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc"),
        (512, "8a39d2abd3999ab73c34db2476849cddf303ce389b35826850f9a700589b4a90"),
    ],
)
async def test_the_hash_of_a_clean_bitmap_is_qemus(run, nodes, granularity, found):
    given = {"node": "a", "name": "b"}
    await run("block-dirty-bitmap-add", {**given, "granularity": granularity})
    assert await run("x-debug-block-dirty-bitmap-sha256", given) == {"sha256": found}
    words = max((1 << 30) // granularity // 64, 1)
    assert found == hashlib.sha256(bytes(8 * words)).hexdigest()


async def test_limits_are_changed_as_long_as_they_make_sense(run):
    await run("object-add", {"qom-type": "throttle-group", "id": "t", "x-iops-read": 10})
    at = {"path": "/objects/t", "property": "limits"}
    found = await run("qom-get", at)
    assert (found["iops-read"], found["bps-total"], found["iops-read-max-length"]) == (10, 0, 1)
    await run("qom-set", {**at, "value": {"iops-read-max": 20}})
    found = await run("qom-get", at)
    assert (found["iops-read"], found["iops-read-max"], len(found)) == (10, 20, 19)
    for value, text in (
        (5, "Invalid parameter type for 'limits', expected: object"),
        ({"zz": 1}, "Parameter 'limits.zz' is unexpected"),
        ({"iops-read": "x"}, "Invalid parameter type for 'limits.iops-read', expected: integer"),
        ({"iops-read": 30}, "bps_max/iops_max cannot be lower than bps/iops"),
    ):
        with pytest.raises(QMPError) as caught:
            await run("qom-set", {**at, "value": value})
        assert str(caught.value) == text
    with pytest.raises(QMPError, match="Property cannot be set after initialization"):
        await run("qom-set", {**at, "property": "x-iops-read", "value": 7})
    assert await run("qom-get", at) == found


async def test_a_snapshot_that_nobody_uses_does_not_stay(run, nodes, tmp_path):
    await run(
        "blockdev-snapshot-sync",
        {
            "node-name": "r",
            "snapshot-file": str(tmp_path / "overlay"),
            "snapshot-node-name": "o",
        },
    )
    left = await run("query-named-block-nodes", {"flat": True})
    assert [(node["node-name"], node["ro"]) for node in left] == [("r", True), ("a", False)]
