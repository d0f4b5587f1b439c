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
