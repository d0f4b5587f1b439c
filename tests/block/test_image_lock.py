"""Who keeps whom from an image; the words are those of QEMU 11.1.3 and 7.2.22."""

import os
import subprocess

import pytest

from qemu_sim.block import activity, creation
from qemu_sim.block.graph import Graph
from qemu_sim.block.image_lock import ImageLock
from qemu_sim.block.permissions import ALL, READ, RESIZE, WRITE, Claim
from qemu_sim.block.reopening import reopen
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd


@pytest.fixture
def other():
    """The graph of another machine."""
    made = Graph({})
    yield made
    made.close()


@pytest.fixture
def path(qemu_img, tmp_path):
    qemu_img("create", "-f", "qcow2", tmp_path / "image", "1M")
    return str(tmp_path / "image")


def qcow2(path, **more):
    file = {"driver": "file", "filename": path, **more.pop("file", {})}
    return {"driver": "qcow2", "node-name": "q", "file": file, **more}


READER = {"read-only": True}
SHARER = {"read-only": True, "force-share": True}
UNLOCKED = {"file": {"locking": "off"}}


@pytest.mark.parametrize(
    "case",
    [
        ({}, {}, 'Failed to get "write" lock'),
        ({}, READER, 'Failed to get shared "write" lock'),
        (READER, {}, 'Failed to get "write" lock'),
        (READER, READER, None),
        ({}, SHARER, None),
        (SHARER, {}, None),
        ({}, UNLOCKED, None),
        (UNLOCKED, {}, None),
    ],
)
async def test_two_machines_on_one_image(graph, other, path, case):
    first, second, text = case
    await graph.add(qcow2(path, **first))
    if text is None:
        await other.add(qcow2(path, **second))
        return
    with pytest.raises(QMPError) as caught:
        await other.add(qcow2(path, **second))
    assert str(caught.value) == text
    assert caught.value.hinted == f"{text}\nIs another process using the image [{path}]?"
    assert other.nodes == {}
    graph.delete("q")
    await other.add(qcow2(path, **second))


async def test_qemu_itself_is_kept_away(graph, path, qemu_img):
    await graph.add(qcow2(path))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        qemu_img("resize", path, "2M")
    assert caught.value.stderr == (
        f"qemu-img: Could not open '{path}': Failed to get \"write\" lock\n"
        f"Is another process using the image [{path}]?\n"
    )
    activity.inactivate_all(graph)
    qemu_img("resize", path, "2M")


async def test_an_image_is_taken_back_if_nobody_has_it(graph, other, path):
    await graph.add(qcow2(path))
    activity.inactivate_all(graph)
    await other.add(qcow2(path))
    with pytest.raises(QMPError, match='^Failed to get "write" lock$'):  # noqa: RUF043 - no dot in it
        activity.activate_all(graph)
    assert not graph.nodes["q"].active
    other.delete("q")
    activity.activate_all(graph)
    with pytest.raises(QMPError, match="Failed to get"):
        await other.add(qcow2(path))


async def test_a_read_only_image_is_not_reopened_for_writing_under_a_reader(graph, other, path):
    await graph.add(qcow2(path, **READER))
    await other.add(qcow2(path, **READER))
    with pytest.raises(QMPError, match='Failed to get "write" lock'):
        graph.set_read_only(graph.nodes["q"], read_only=False)
    assert graph.nodes["q"].read_only
    other.delete("q")
    graph.set_read_only(graph.nodes["q"], read_only=False)
    with pytest.raises(QMPError, match='Failed to get shared "write" lock'):
        await other.add(qcow2(path, **READER))


async def test_a_child_follows_where_its_parent_says_so(graph, path):
    await graph.add(qcow2(path))
    file = graph.nodes["q"].child
    options = {"driver": "qcow2", "node-name": "q", "file": file.name}
    reopen(graph, {**options, "read-only": True})
    assert (graph.nodes["q"].read_only, file.read_only) == (True, True)
    with pytest.raises(QMPError, match=r"^Block node is read-only$"):
        reopen(graph, options)
    reopen(graph, {**options, "read-only": False})
    assert (graph.nodes["q"].read_only, file.read_only) == (False, False)
    file.write(0, file.read(0, 512))


async def test_an_image_in_use_is_not_made_anew(graph, path):
    await graph.add(qcow2(path))
    with pytest.raises(QMPError, match='Failed to get "write" lock'):
        await creation.create(graph, {"driver": "file", "filename": path, "size": 0})
    assert os.stat(path).st_size


def test_what_is_reserved_in_vain_is_given_up(path):
    """A reader who wants to write as well stays a reader, for others too."""
    with Fd(os.open(path, os.O_RDWR)) as one, Fd(os.open(path, os.O_RDWR)) as two:
        first, second = ImageLock(one, path), ImageLock(two, path)
        for lock in (first, second):
            lock.reserve(Claim(READ, ALL & ~WRITE))
            lock.settle(Claim(READ, ALL & ~WRITE))
        with pytest.raises(QMPError):
            first.reserve(Claim(READ | WRITE | RESIZE, READ))
        second.reserve(Claim(READ, READ))
        second.settle(Claim(READ, READ))
