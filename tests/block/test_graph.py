"""Nodes by name, how long they live, and what QEMU says of them."""

import json
import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qemu_sim.block import qcow2_header
from qemu_sim.block.drive import Drives, Use
from qemu_sim.block.reopening import reopen
from qemu_sim.errors import DeviceNotFound, QMPError


def null(name, **more):
    return {"driver": "null-co", "node-name": name, **more}


def file(path, **more):
    return {"driver": "file", "filename": str(path), **more}


def raw(name, below, **more):
    return {"driver": "raw", "node-name": name, "file": below, **more}


@pytest.fixture
def image(tmp_path):
    """A file of 1000 bytes."""
    path = tmp_path / "raw.img"
    path.write_bytes(bytes(1000))
    return path


async def test_a_null_node_needs_nothing(graph):
    node = await graph.add(null("n0", size=512))
    found = node.describe(flat=False)
    assert (found["file"], found["image"]["virtual-size"]) == (
        'json:{"driver": "null-co", "size": 512}',
        512,
    )


async def test_a_files_size_is_the_true_one(graph, image):
    node = await graph.add(raw("r0", file(image)))
    assert (node.filename, node.size) == (str(image), 1000)
    assert node.image(flat=True)["virtual-size"] == 1024  # whole sectors
    node.resize(4096)
    assert os.stat(image).st_size == 4096


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"driver": "null-co"}, "'node-name' must be specified for the root node"),
        (null("#x"), "Invalid node-name: '#x'"),
        (null(""), "Invalid node-name: ''"),
        (null("a" * 32), "Node name too long"),
        (null("taken"), "Duplicate nodes with node-name='taken'"),
        (raw("r", "nope"), "Cannot find device='nope' nor node-name='nope'"),
        (
            {**file("/nope/x"), "node-name": "f"},
            "Could not open '/nope/x': No such file or directory",
        ),
        ({**file("/"), "node-name": "f"}, "Could not open '/': Is a directory"),
        (
            {**file("/dev/null"), "node-name": "f"},
            "'file' driver requires '/dev/null' to be a regular file",
        ),
        (
            {"driver": "qcow2", "node-name": "q", "file": {"driver": "null-co"}},
            "Image is not in qcow2 format",
        ),
        (
            {"driver": "throttle", "node-name": "t", "throttle-group": "g", "file": "taken"},
            "Throttle group 'g' does not exist",
        ),
        (
            {"driver": "vvfat", "node-name": "v"},
            "block driver 'vvfat' is not simulated by qemu-sim",
        ),
    ],
)
async def test_what_cannot_be_opened_leaves_nothing(graph, options, text):
    await graph.add(null("taken"))
    with pytest.raises(QMPError) as caught:
        await graph.add(options)
    assert str(caught.value) == text
    assert list(graph.nodes) == ["taken"]


async def test_a_node_lives_as_long_as_it_is_needed(graph, image):
    await graph.add({**file(image), "node-name": "f0"})
    await graph.add(raw("r0", "f0"))
    with pytest.raises(QMPError, match="Block device f0 is in use"):
        graph.delete("f0")
    graph.delete("r0")
    graph.delete("f0")
    assert graph.nodes == {}
    with pytest.raises(QMPError, match="Failed to find node with node-name='f0'"):
        graph.delete("f0")


async def test_a_child_made_with_its_parent_goes_with_it(graph, image):
    await graph.add(raw("r0", file(image, **{"node-name": "f0"})))
    with pytest.raises(QMPError, match="Node f0 is not owned by the monitor"):
        graph.delete("f0")
    graph.delete("r0")
    assert graph.nodes == {}


async def test_read_only_is_inherited(graph, image):
    await graph.add(raw("r0", file(image, **{"node-name": "f0"}), **{"read-only": True}))
    assert graph.nodes["f0"].read_only


async def test_a_window_must_be_inside_the_file(graph, image):
    with pytest.raises(QMPError, match="Offset \\(20000\\) cannot be greater"):
        await graph.add(raw("r0", file(image), offset=20000))
    node = await graph.add(raw("r0", file(image), offset=512, size=512))
    assert json.loads(node.filename.removeprefix("json:"))["offset"] == 512


async def test_a_tower_of_nodes_has_a_limit(graph):
    await graph.add(null("n0"))
    for number in range(1, 150):
        await graph.add(raw(f"n{number}", f"n{number - 1}"))
    with pytest.raises(QMPError, match="more than 150 nodes on top of each other"):
        await graph.add(raw("n150", "n149"))
    assert len(graph.nodes) == 150
    assert graph.nodes["n149"].describe(flat=False)["image"]["virtual-size"] == 1 << 30


async def test_a_node_does_not_stand_on_itself(graph):
    with pytest.raises(QMPError) as caught:
        await graph.add({"driver": "blkdebug", "node-name": "a", "image": "a"})
    assert str(caught.value) == "Making 'a' a image child of 'a' would create a cycle"
    assert graph.nodes == {}


async def test_a_replacement_makes_no_circle(graph):
    """`top` stands on `old` through `middle`, which must not stand on `top` afterwards."""
    for options in (null("old"), raw("middle", "old"), raw("top", "middle"), raw("user", "old")):
        await graph.add(options)
    graph.replace(graph.nodes["old"], graph.nodes["top"])
    assert graph.nodes["user"].child.name == "top"
    assert graph.nodes["middle"].child.name == "old"


async def test_reopen_changes_what_may_change(graph):
    await graph.add(null("n0"))
    await graph.add(raw("r0", "n0"))
    reopen(graph, raw("r0", "n0", **{"read-only": True, "detect-zeroes": "on"}))
    found = graph.nodes["r0"].describe(flat=True)
    assert (found["ro"], found["detect_zeroes"]) == (True, "on")
    with pytest.raises(QMPError, match="Cannot change the option 'driver'"):
        reopen(graph, null("r0"))


async def test_qcow2_shows_its_backing_file(graph, qemu_img, tmp_path):
    qemu_img("create", "-f", "qcow2", tmp_path / "base", "10M")
    qemu_img("create", "-f", "qcow2", "-b", "base", "-F", "qcow2", tmp_path / "top")
    node = await graph.add({"driver": "qcow2", "node-name": "top", "file": file(tmp_path / "top")})
    found = node.image(flat=False)
    measured = json.loads(qemu_img("info", "--output=json", tmp_path / "top"))
    for key in (
        "virtual-size",
        "actual-size",
        "cluster-size",
        "backing-filename",
        "full-backing-filename",
        "backing-filename-format",
        "dirty-flag",
    ):
        assert found[key] == measured[key]
    assert found["format-specific"] == measured["format-specific"]
    assert found["backing-image"]["virtual-size"] == 10 << 20
    assert node.describe(flat=False)["backing_file_depth"] == 1


async def test_a_backing_file_may_be_left_out_or_replaced(graph, qemu_img, tmp_path):
    qemu_img("create", "-u", "-f", "qcow2", "-b", "gone", "-F", "raw", tmp_path / "top", "1M")
    options = {"driver": "qcow2", "node-name": "top", "file": file(tmp_path / "top")}
    with pytest.raises(QMPError, match=r"Could not open backing file: Could not open '.*gone'"):
        await graph.add(options)
    node = await graph.add({**options, "backing": None})
    assert '"backing": null' in node.filename
    graph.delete("top")
    await graph.add(null("n0"))
    await graph.add({**options, "backing": "n0"})
    with pytest.raises(QMPError, match="Node 'n0' is busy: node is used as backing hd of 'top'"):
        graph.delete("n0")


async def test_qcow2_lists_its_snapshots(graph, qemu_img, tmp_path):
    qemu_img("create", "-f", "qcow2", tmp_path / "q", "1M")
    qemu_img("snapshot", "-c", "first", tmp_path / "q")
    node = await graph.add({"driver": "qcow2", "node-name": "q", "file": file(tmp_path / "q")})
    measured = json.loads(qemu_img("info", "--output=json", tmp_path / "q"))
    assert node.image(flat=True)["snapshots"] == measured["snapshots"]


async def test_qcow2_grows_for_others_too(graph, qemu_img, tmp_path):
    qemu_img("create", "-f", "qcow2", tmp_path / "q", "1M")
    node = await graph.add({"driver": "qcow2", "node-name": "q", "file": file(tmp_path / "q")})
    node.resize(8 << 20)
    assert json.loads(qemu_img("info", "--output=json", tmp_path / "q"))["virtual-size"] == 8 << 20
    qemu_img("check", tmp_path / "q")
    with pytest.raises(QMPError, match="must be a multiple of 512"):
        node.resize(5)


async def test_qcow2_grows_beyond_its_table(graph, qemu_img, tmp_path):
    qemu_img("create", "-f", "qcow2", tmp_path / "q", "1M")
    node = await graph.add({"driver": "qcow2", "node-name": "q", "file": file(tmp_path / "q")})
    node.write(0, b"kept")
    node.resize(5 << 40)
    node.write((5 << 40) - 512, b"new")
    assert (node.read(0, 4), node.read((5 << 40) - 512, 3)) == (b"kept", b"new")
    qemu_img("check", tmp_path / "q")
    assert json.loads(qemu_img("info", "--output=json", tmp_path / "q"))["virtual-size"] == 5 << 40


async def test_qcow2_shrinks_where_there_is_nothing(graph, qemu_img, tmp_path):
    qemu_img("create", "-f", "qcow2", tmp_path / "q", "4M")
    node = await graph.add({"driver": "qcow2", "node-name": "q", "file": file(tmp_path / "q")})
    node.resize(2 << 20)
    node.write(1 << 20, b"data")
    with pytest.raises(QMPError, match="shrinking a qcow2 image with data is not simulated"):
        node.resize(1 << 20)
    qemu_img("check", tmp_path / "q")


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=0, max_size=300), st.sampled_from([2, 3]))
def test_any_header_is_read_or_refused(data, version):
    start = b"QFI\xfb" + version.to_bytes(4, "big") + data
    try:
        found = qcow2_header.read(start)
    except QMPError:
        return
    assert found.cluster <= 2 << 20


async def test_two_writers_on_one_node_conflict(graph):
    drives = Drives(graph)
    await graph.add(null("n0"))
    drives.attach("d.drive", "n0", "vd0", Use())
    with pytest.raises(QMPError) as caught:
        drives.attach("d.drive", "n0", "vd1", Use())
    assert str(caught.value) == (
        "Permission conflict on node 'n0': permissions 'write' are both required by block device "
        "'vd0' (uses node 'n0' as 'root' child) and unshared by block device 'vd1' (uses node "
        "'n0' as 'root' child)."
    )
    drives.close()


async def test_a_drive_keeps_its_node(graph):
    drives = Drives(graph)
    await graph.add(null("n0"))
    drive = drives.attach("d.drive", "n0", "vd0", Use())
    with pytest.raises(QMPError, match="Node n0 is in use"):
        graph.delete("n0")
    drives.detach(drive)
    graph.delete("n0")
    with pytest.raises(DeviceNotFound, match="Device 'vd0' not found"):
        drives.find(None, "vd0")


async def test_rules_come_through_a_fifo(graph, tmp_path):
    """blkdebug opens while its FIFO has no writer, and the loop goes on meanwhile."""
    import asyncio

    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    adding = asyncio.ensure_future(
        graph.add(
            {
                "driver": "blkdebug",
                "node-name": "d0",
                "config": str(fifo),
                "image": {"driver": "null-co"},
            }
        )
    )
    done, _ = await asyncio.wait({adding}, timeout=0.05)
    assert not done
    writer = await asyncio.create_subprocess_shell(f"true > {fifo}", stdin=subprocess.DEVNULL)
    node = await asyncio.wait_for(adding, 5)
    await writer.wait()
    assert node.filename == f"blkdebug:{fifo}:null-co://"


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ('x = "y"\n', "no group defined"),
        ('[inject-error]\nfoo = "y"\n', "Invalid parameter 'foo'"),
        ("[inject-error]\nevent = nope\n", "invalid parameter value: "),
        ('[inject-error]\nevent = "nope"\n', "invalid parameter value: nope"),
        ('[inject-error]\nerrno = "5"\n', "Missing event name for rule"),
        ('[set-state]\nevent = "read_aio"\nonce="on"\n', "Invalid parameter 'once=\"on\"'"),
        ("[nope]\n", "There is no option group 'nope'"),
        ("[bad\n", "There is no option group 'bad\n'"),
        (
            '[set-state]\nevent = "read_aio"\nnew_state = "x"\n',
            "Parameter 'new_state' expects a number",
        ),
    ],
)
async def test_bad_rules_are_refused_as_qemu_does(graph, tmp_path, rules, text):
    path = tmp_path / "rules"
    path.write_text(rules)
    options = {"driver": "blkdebug", "node-name": "d0", "image": {"driver": "null-co"}}
    with pytest.raises(QMPError) as caught:
        await graph.add({**options, "config": str(path)})
    assert str(caught.value) == text
    path.write_text('# good\n\n[inject-error "a"]\nevent = "read_aio"\nerrno = "5"\n')
    await graph.add({**options, "config": str(path)})
