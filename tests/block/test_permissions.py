"""Who may use a node together with whom; the words are those of QEMU 11.1.3 and 7.2.22."""

import pytest

from qemu_sim.block import activity
from qemu_sim.block.backend import Backend
from qemu_sim.block.drive import Drives, Use
from qemu_sim.block.graph_report import report
from qemu_sim.block.permissions import ALL, READ, RESIZE, UNCHANGED, WRITE, Claim
from qemu_sim.block.reopening import reopen
from qemu_sim.errors import QMPError


def null(name, **more):
    return {"driver": "null-co", "node-name": name, **more}


def raw(name, below, **more):
    return {"driver": "raw", "node-name": name, "file": below, **more}


@pytest.fixture
def drives(graph):
    made = Drives(graph)
    yield made
    made.close()


@pytest.fixture
def plug(drives):
    """Give a device the drive for a node."""

    def plugged(node, device, **use):
        return drives.attach("d.drive", node, device, Use(**use))

    return plugged


def edges(graph):
    """Return each edge as `parent name child needs|shares`, by initials."""
    initials = {"consistent-read": "C", "write": "W", "write-unchanged": "U", "resize": "R"}
    found = report(graph, ())
    names = {each["id"]: each["name"] for each in found["nodes"]}

    def short(permissions):
        return "".join(initials[each] for each in reversed(permissions))

    return {
        f"{names[each['parent']]} {each['name']} {names[each['child']]}": (
            f"{short(each['perm'])}|{short(each['shared-perm'])}"
        )
        for each in found["edges"]
    }


async def qcow2(graph, qemu_img, tmp_path, name, **more):
    qemu_img("create", "-f", "qcow2", tmp_path / name, "1M")
    file = {"driver": "file", "filename": str(tmp_path / name), "node-name": f"f-{name}"}
    return await graph.add({"driver": "qcow2", "node-name": name, "file": file, **more})


async def test_nobody_asks_for_anything_of_a_node_that_nobody_uses(graph):
    await graph.add(null("n"))
    await graph.add(raw("r", "n"))
    await graph.add(raw("w", "n", offset=512))
    assert edges(graph) == {"r file n": "|CWUR", "w file n": "|CWU"}


async def test_a_node_asks_for_what_is_asked_of_it(graph, plug):
    await graph.add(null("n"))
    await graph.add(raw("r", "n"))
    drive = plug("r", "hd")
    assert edges(graph) == {"hd root r": "CW|CUR", "r file n": "CW|CUR"}
    drive.close()
    assert edges(graph) == {"r file n": "|CWUR"}


async def test_a_format_needs_its_file_for_itself(graph, qemu_img, tmp_path, plug):
    await qcow2(graph, qemu_img, tmp_path, "q")
    assert edges(graph) == {"q file f-q": "CWR|CU"}
    with pytest.raises(QMPError) as caught:
        plug("f-q", "hd")
    assert str(caught.value) == (
        "Permission conflict on node 'f-q': permissions 'write' are both required by node 'q' "
        "(uses node 'f-q' as 'file' child) and unshared by block device 'hd' (uses node 'f-q' as "
        "'root' child)."
    )
    with pytest.raises(QMPError) as caught:
        await graph.add({"driver": "qcow2", "node-name": "q2", "file": "f-q"})
    assert str(caught.value) == (
        "Permission conflict on node 'f-q': permissions 'write, resize' are both required by node "
        "'q' (uses node 'f-q' as 'file' child) and unshared by node 'q2' (uses node 'f-q' as "
        "'file' child)."
    )
    assert list(graph.nodes) == ["f-q", "q"]
    assert edges(graph) == {"q file f-q": "CWR|CU"}
    await graph.add(
        {
            "driver": "qcow2",
            "node-name": "reader",
            "read-only": True,
            "file": {
                "driver": "file",
                "filename": str(tmp_path / "q"),
                "node-name": "other",
                "locking": "off",
            },
        }
    )
    assert edges(graph)["reader file other"] == "C|CU"


async def test_a_backing_file_is_not_written_below_its_user(graph, qemu_img, tmp_path, plug):
    await graph.add(null("b", size=1 << 20))
    await qcow2(graph, qemu_img, tmp_path, "q", backing="b")
    assert edges(graph)["q backing b"] == "|CWUR"
    plug("q", "hd")
    assert edges(graph)["q backing b"] == "C|CU"
    with pytest.raises(
        QMPError,
        match=r"'write' are both required by block device 'hd2' .* and "
        r"unshared by node 'q' \(uses node 'b' as 'backing' child\)",
    ):
        plug("b", "hd2")


async def test_two_devices_share_writing_if_both_say_so(graph, plug):
    await graph.add(null("n"))
    plug("n", "a", shares_write=True)
    with pytest.raises(QMPError, match=r"required by block device 'a' .* unshared by .* 'b'"):
        plug("n", "b")
    plug("n", "b", shares_write=True)
    with pytest.raises(QMPError, match=r"required by block device 'b' .* unshared by .* 'cd'"):
        plug("n", "cd", removable=True)


async def test_readers_share(graph, plug):
    await graph.add(null("n", **{"read-only": True}))
    with pytest.raises(QMPError) as caught:
        plug("n", "ide", always_writes=True)
    assert str(caught.value) == "Block node is read-only"
    for name in ("a", "b"):
        plug("n", name)
    assert edges(graph) == {"a root n": "C|CUR", "b root n": "C|CUR"}


async def test_a_node_is_not_reopened_under_a_writer(graph, plug):
    await graph.add(null("n"))
    plug("n", "hd")
    with pytest.raises(QMPError) as caught:
        reopen(graph, null("n", **{"read-only": True}))
    assert str(caught.value) == "Read-only block node 'n' cannot support read-write users"
    assert not graph.nodes["n"].read_only


async def test_force_share_is_for_readers(graph, plug):
    with pytest.raises(QMPError) as caught:
        await graph.add(null("n", **{"force-share": True}))
    assert str(caught.value) == "force-share=on can only be used with read-only images"
    await graph.add(null("n", **{"force-share": True, "read-only": True}))
    await graph.add(raw("r", "n", **{"read-only": True}))
    plug("r", "hd")
    assert edges(graph) == {"hd root r": "C|CUR", "r file n": "C|CWUR"}


async def test_blkdebug_takes_and_keeps_what_it_is_told(graph):
    await graph.add(null("n"))
    more = {"take-child-perms": ["write"], "unshare-child-perms": ["resize", "write-unchanged"]}
    await graph.add({"driver": "blkdebug", "node-name": "d", "image": "n", **more})
    assert edges(graph) == {"d image n": "W|CW"}


async def test_a_command_is_an_unnamed_block_device(graph, plug):
    await graph.add(null("n"))
    await graph.add(raw("w", "n", size=512))
    backend = Backend(graph, Claim(WRITE | RESIZE, ALL))
    with pytest.raises(QMPError) as caught:
        backend.insert(graph.nodes["n"])
    assert str(caught.value) == (
        "Permission conflict on node 'n': permissions 'resize' are both required by an unnamed "
        "block device (uses node 'n' as 'root' child) and unshared by node 'w' (uses node 'n' as "
        "'file' child)."
    )
    backend.close()
    assert graph.backends == []


async def test_an_inactive_image_is_free_for_others(graph, plug):
    await graph.add(null("n"))
    await graph.add(raw("r", "n"))
    plug("r", "hd")
    with pytest.raises(QMPError, match=r"^Node has active parent node$"):
        activity.inactivate(graph.nodes["n"])
    activity.inactivate(graph.nodes["r"])
    assert not graph.nodes["n"].active
    assert edges(graph) == {"hd root r": "|CWUR", "r file n": "|CWUR"}
    with pytest.raises(QMPError, match=r"^Permission 'write' unavailable on inactive node$"):
        Backend(graph, Claim(WRITE)).insert(graph.nodes["r"])
    plug("n", "other")
    activity.activate(graph.nodes["n"])
    with pytest.raises(QMPError, match=r"'write' are both required by node 'r' .*'other'"):
        activity.activate(graph.nodes["r"])
    assert not graph.nodes["r"].active
    assert edges(graph)["hd root r"] == "|CWUR"
    with pytest.raises(QMPError, match=r"Inactive 'r' can't be a file child of active 'x'"):
        await graph.add(raw("x", "r"))


async def test_who_writes_for_no_device_keeps_the_image(graph):
    await graph.add(null("n"))
    backend = Backend(graph, Claim(READ | WRITE, ALL))
    backend.insert(graph.nodes["n"])
    with pytest.raises(QMPError) as caught:
        activity.inactivate_all(graph)
    assert str(caught.value) == "Failed to inactivate all nodes: Operation not permitted"
    backend.close()


async def test_a_refused_exchange_changes_nothing(graph, plug):
    """`old` is written to by a device and read by another node, which `new` does not allow."""
    for options in (null("old"), null("new"), raw("w", "new", offset=512)):
        await graph.add(options)
    plug("old", "hd")
    keeper = Backend(graph, Claim(READ, READ | UNCHANGED))
    keeper.insert(graph.nodes["new"])
    before = edges(graph)
    with pytest.raises(QMPError, match=r"Permission conflict on node 'new': permissions 'write'"):
        graph.replace(graph.nodes["old"], graph.nodes["new"])
    assert edges(graph) == before
    keeper.close()
