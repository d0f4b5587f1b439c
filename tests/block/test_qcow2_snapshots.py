"""Internal snapshots in qcow2 images; qemu-img is the judge."""

import json
import random
import struct

import pytest

from qemu_sim.block import snapshot as snapshots
from qemu_sim.block.snapshot import SECOND, Snapshot
from qemu_sim.errors import QMPError

MIB = 1 << 20
DATE = 1_700_000_000 * SECOND + 123_000


def node(path, **more):
    file = {"driver": "file", "filename": str(path)}
    return {"driver": "qcow2", "node-name": "disk", "file": file, **more}


@pytest.fixture
def make_image(graph, qemu_img, tmp_path):
    """Make an image and open it."""

    async def make(*options, size=MIB):
        path = tmp_path / "image"
        qemu_img("create", "-f", "qcow2", *options, path, str(size))
        return await graph.add(node(path))

    return make


@pytest.fixture
def check(qemu_img, tmp_path):
    """Have qemu-img look at the file: nothing is wrong, and no cluster is lost."""

    def check():
        found = json.loads(qemu_img("check", "--output=json", tmp_path / "image"))
        keys = ("check-errors", "corruptions", "leaks")
        assert {key: found.get(key, 0) for key in keys} == dict.fromkeys(keys, 0)

    return check


@pytest.fixture
def data_of(qemu_img, tmp_path):
    """Return the disk of a snapshot, as qemu-img sees it."""

    def data_of(name):
        image, raw = tmp_path / "image", tmp_path / "raw"
        qemu_img("convert", "-O", "raw", "-l", f"snapshot.name={name}", image, raw)
        return raw.read_bytes()

    return data_of


def take(image, name, state=b""):
    """Snapshot the image with that VM state; returns the snapshot."""
    store = image.snapshot_store
    if state:
        store.write_vm_state(0, state)
    store.create(Snapshot(name, DATE, 5 * SECOND + 7, len(state)))
    return snapshots.find(store, name)


async def test_others_see_the_same_snapshots(make_image, graph, qemu_img, data_of, check):
    image = await make_image()
    path = image.child.options["filename"]
    image.write(0, b"first")
    take(image, "one", b"state" * 1000)
    image.write(0, b"other")
    take(image, "two")
    image.write(70_000, b"last")
    listed = image.image(flat=True)["snapshots"]
    graph.close()
    check()
    told = json.loads(qemu_img("info", "--output=json", path))["snapshots"]
    assert [{key: each[key] for key in told[0]} for each in listed] == told
    assert listed[0] == {
        "id": "1",
        "name": "one",
        "vm-state-size": 5000,
        "date-sec": 1_700_000_000,
        "date-nsec": 123_000,
        "vm-clock-sec": 5,
        "vm-clock-nsec": 7,
    }
    for name, data in (("one", b"first"), ("two", b"other")):
        assert data_of(name) == data.ljust(MIB, b"\0")
    qemu_img("snapshot", "-a", "two", path)
    qemu_img("snapshot", "-d", "one", path)
    check()


async def test_snapshots_of_others_are_gone_to_and_deleted(make_image, graph, qemu_img, check):
    image = await make_image()
    image.write(0, b"first")
    path = image.child.options["filename"]
    graph.close()
    qemu_img("snapshot", "-c", "theirs", path)
    image = await graph.add(node(path))
    image.write(0, b"other")
    found = snapshots.find(image.snapshot_store, "theirs")
    image.snapshot_store.go_to(found)
    assert image.read(0, 5) == b"first"
    image.snapshot_store.delete(found)
    assert "snapshots" not in image.image(flat=True)
    assert image.read(0, 5) == b"first"
    graph.close()
    check()


async def test_the_size_goes_back_too(make_image, graph, check):
    image = await make_image(size=MIB)
    kept = take(image, "small", b"machine")
    image.resize(3 << 30)  # beyond what the L1 table can map, and where the state was
    image.write((3 << 30) - 5, b"there")
    image.snapshot_store.go_to(kept)
    assert image.size == MIB
    assert image.snapshot_store.read_vm_state(0, 7) == b"machine"
    image.resize(3 << 30)
    assert image.read((3 << 30) - 5, 5) == bytes(5)
    graph.close()
    check()


@pytest.mark.parametrize(
    "options",
    [
        "cluster_size=64k",
        "cluster_size=64k,compat=0.10",
        "cluster_size=512,refcount_bits=2",
        "cluster_size=512,refcount_bits=64",
        "cluster_size=4k,refcount_bits=8",
        "cluster_size=4k,preallocation=metadata,lazy_refcounts=on",
    ],
)
async def test_whatever_is_done_to_it(make_image, graph, data_of, check, options):
    chance = random.Random(options)
    image = await make_image("-o", options)
    data, kept = bytearray(MIB), {}
    most = 1 if "refcount_bits=2" in options else 5  # to go there takes one more for a moment
    for number in range(60):
        what = chance.choice(["write", "write", "take", "go", "delete", "reopen"])
        name = chance.choice(list(kept)) if kept else None
        if what == "write":
            start = chance.randrange(MIB)
            piece = chance.randbytes(min(chance.randrange(1, 100_000), MIB - start))
            image.write(start, piece)
            data[start : start + len(piece)] = piece
        elif what == "take" and len(kept) < most:
            state = chance.randbytes(chance.randrange(200_000))
            take(image, f"s{number}", state)
            kept[f"s{number}"] = bytes(data), state
        elif what == "go" and name is not None:
            image.snapshot_store.go_to(snapshots.find(image.snapshot_store, name))
            data = bytearray(kept[name][0])
            state = kept[name][1]
            assert image.snapshot_store.read_vm_state(0, len(state)) == state
        elif what == "delete" and name is not None:
            image.snapshot_store.delete(snapshots.find(image.snapshot_store, name))
            del kept[name]
        elif what == "reopen":
            graph.close()
            check()
            image = await graph.add(node(image.child.options["filename"]))
        assert image.read(0, MIB) == data
    graph.close()
    check()
    for name, (before, _) in kept.items():
        assert data_of(name) == before


async def test_a_file_takes_no_more_than_it_needs(make_image, graph, check):
    """What a snapshot that was deleted held is used again."""
    image = await make_image()
    sizes = []
    for _ in range(4):
        image.write(0, bytes([len(sizes) + 1]) * MIB)
        kept = take(image, "s", b"machine" * 100_000)
        image.write(0, b"other" * 1000)
        image.snapshot_store.delete(kept)
        sizes.append(image.child.size)
    assert sizes[1:] == [sizes[1]] * 3
    graph.close()
    check()


async def test_the_refcount_table_grows(make_image, graph, check):
    image = await make_image("-o", "cluster_size=512,refcount_bits=64", size=32 * MIB)
    was = image.header.refcount_clusters
    image.write(0, b"x" * (4 * MIB))
    take(image, "s")
    image.write(0, b"y" * (4 * MIB))
    assert image.header.refcount_clusters > was
    assert image.read(MIB, 1) == b"y"
    graph.close()
    check()


async def test_a_refcount_of_one_bit_allows_none(make_image, graph, check):
    image = await make_image("-o", "refcount_bits=1")
    image.write(0, b"x")
    with pytest.raises(QMPError, match="Invalid argument"):
        take(image, "s")
    assert image.snapshot_store.listed() == []
    image.write(0, b"y")
    graph.close()
    check()


async def test_an_image_to_be_repaired_is_left_alone(make_image, graph):
    image = await make_image()
    image.child.write(72, struct.pack(">Q", 1))  # the dirty bit
    image.read_header()
    with pytest.raises(QMPError, match="to be repaired is not simulated by qemu-sim"):
        take(image, "s")


async def test_subclusters_are_refused(make_image):
    image = await make_image("-o", "extended_l2=on")
    with pytest.raises(QMPError, match="subclusters are not simulated by qemu-sim"):
        take(image, "s")


async def test_a_format_above_passes_it_on(make_image, graph):
    image = await make_image()
    raw = await graph.add({"driver": "raw", "node-name": "raw", "file": "disk"})
    assert raw.can_snapshot
    take(raw, "s")
    assert [each.name for each in image.snapshot_store.listed()] == ["s"]
    image.active = False
    assert not image.can_snapshot
    null = await graph.add({"driver": "null-co", "node-name": "null"})
    assert not null.can_snapshot


async def test_what_a_newer_qemu_says_of_a_snapshot_is_kept(make_image, graph, qemu_img, check):
    """The table's entries may be longer than we know."""
    image = await make_image()
    take(image, "s")
    header = image.header
    found = image.child.read(header.snapshots_offset, 80)
    (extra,) = struct.unpack_from(">I", found, 36)
    longer = found[:36] + struct.pack(">I", extra + 8) + found[40 : 40 + extra] + b"whatever"
    image.child.write(header.snapshots_offset, longer + found[40 + extra :])
    take(image, "t")
    assert [each.name for each in image.snapshot_store.listed()] == ["s", "t"]
    assert b"whatever" in image.child.read(image.header.snapshots_offset, 200)
    graph.close()
    check()


SNAPSHOT_L1, VM_STATE, ACTIVE_L1, COUNT = "snapshot-l1", "vm-state", "active-l1", "count"


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (SNAPSHOT_L1, "Snapshot L1 table too large"),
        (VM_STATE, "larger than what its L1 table maps"),
        (ACTIVE_L1, "Active L1 table too large"),
        (COUNT, "Snapshot table too large"),
    ],
)
async def test_broken_tables_are_refused_at_once(make_image, graph, what, text):
    image = await make_image()
    take(image, "s")
    at = image.header.snapshots_offset
    places = {SNAPSHOT_L1: (at + 8, 4), VM_STATE: (at + 40, 8), ACTIVE_L1: (36, 4), COUNT: (60, 4)}
    place, size = places[what]
    image.child.write(place, b"\xff" * size)
    with pytest.raises(QMPError, match=text):
        image.read_header()
        image.snapshot_store.go_to(image.snapshot_store.listed()[0])


async def test_an_entry_that_leads_nowhere_makes_no_table_of_petabytes(make_image, graph):
    image = await make_image()
    image.write(0, b"x")
    l2 = int.from_bytes(image.child.read(image.header.l1_offset, 8), "big") & (1 << 56) - 1
    image.child.write(l2, (1 << 55).to_bytes(8, "big"))
    with pytest.raises(QMPError, match="File too large"):
        take(image, "s")
    assert image.child.size < MIB
