"""What jobs do to the graph, as x-debug-query-block-graph of QEMU 11.1.3 and 7.2.22 shows it."""

import pytest

from qemu_sim.block import job_nodes
from qemu_sim.block.drive import Drives, Use
from qemu_sim.block.graph_report import report
from qemu_sim.block.job_nodes import Committed
from qemu_sim.errors import QMPError

_INITIALS = {"consistent-read": "C", "write": "W", "write-unchanged": "U", "resize": "R"}


@pytest.fixture
def job(new_job):
    return new_job()


@pytest.fixture
async def source(graph):
    """The image `a` of the device `hd`, beside the image `b`."""
    for name in ("a", "b"):
        await graph.add({"driver": "null-co", "node-name": name})
    drives = Drives(graph)
    drives.attach("d.drive", "a", "hd", Use())
    yield graph.nodes["a"]
    drives.close()


def edges(graph, job):
    """Return each edge as `parent name child`, its permissions by initials; the filter is `f`."""
    found = report(graph, [job] if job.edges else [])
    names = {each["id"]: each["name"] or "-" for each in found["nodes"]}

    def short(permissions):
        return "".join(_INITIALS[each] for each in reversed(permissions))

    return {
        f"{names[each['parent']]} {each['name']} {names[each['child']]}": (
            f"{short(each['perm'])}|{short(each['shared-perm'])}"
        )
        for each in found["edges"]
    }


async def test_a_mirror_stands_above_its_source_and_has_its_target_for_itself(graph, source, job):
    before = edges(graph, job)
    job_nodes.for_mirror(graph, job, source, graph.nodes["b"], "f")
    assert edges(graph, job) == {
        "f backing a": "CW|CU",
        "j main node f": "C|CWU",
        "j source a": "|CWU",
        "j target b": "|CWUR",
        "- root b": "W|U",
        "hd root f": "CW|CUR",
    }
    job.settle()
    assert edges(graph, job) == before
    assert list(graph.nodes) == ["a", "b"]


async def test_a_mirror_that_pivots_leaves_its_source(graph, source, job):
    target = graph.nodes["b"]
    nodes = job_nodes.for_mirror(graph, job, source, target, None)
    nodes.rearrange = lambda: graph.replace(source, target)
    job.settle()
    assert edges(graph, job) == {"hd root b": "CW|CUR"}


async def test_a_backup_lets_nobody_else_write_to_its_source(graph, source, job):
    job_nodes.for_backup(graph, job, source, graph.nodes["b"], "f")
    assert edges(graph, job) == {
        "f file a": "CW|CU",
        "f target b": "W|CWU",
        "j main node f": "|CWUR",
        "j target b": "|CWUR",
        "hd root f": "CW|CUR",
    }
    job.settle()
    assert edges(graph, job) == {"hd root a": "CW|CUR"}


async def test_a_stream_writes_what_it_reads(graph, source, job):
    await graph.add({"driver": "null-co", "node-name": "below"})
    job_nodes.for_stream(graph, job, [source, graph.nodes["below"]], "f")
    assert edges(graph, job) == {
        "f file a": "CWU|CU",
        "j main node f": "|CWUR",
        "j active node a": "|CWU",
        "j intermediate node below": "|CU",
        "- root f": "C|CWU",
        "hd root f": "CW|CUR",
    }
    job.settle()
    assert edges(graph, job) == {"hd root a": "CW|CUR"}


@pytest.fixture
async def tower(graph, qemu_img, tmp_path):
    """The images `base`, `middle` and `top`, which stand on each other; `top` is a device's."""
    below = {}
    for name in ("base", "middle", "top"):
        qemu_img("create", "-f", "qcow2", tmp_path / name, "1M")
        file = {"driver": "file", "filename": str(tmp_path / name), "node-name": f"f-{name}"}
        options = {"driver": "qcow2", "node-name": name, "file": file, **below}
        await graph.add({**options, "read-only": name != "top"})
        below = {"backing": name}
    drives = Drives(graph)
    drives.attach("d.drive", "top", "hd", Use())
    yield graph.nodes
    drives.close()


async def test_a_commit_reads_what_nobody_else_relies_on(graph, tower, job):
    graph.set_read_only(tower["base"], read_only=False)
    what = Committed(tower["top"], [tower["middle"]], tower["base"])
    job_nodes.for_commit(graph, job, what, "f")
    assert edges(graph, job) == {
        "f backing middle": "|CWUR",
        "top file f-top": "CWR|CU",
        "top backing f": "C|CU",
        "middle file f-middle": "C|U",
        "middle backing base": "|CWUR",
        "base file f-base": "CWR|CU",
        "j main node top": "|CWUR",
        "j intermediate node middle": "|WU",
        "j base base": "|CWUR",
        "- root middle": "|CWUR",
        "- root base": "CW|CU",
        "hd root top": "CW|CUR",
    }
    job.settle()
    graph.set_read_only(tower["base"], read_only=True)
    assert edges(graph, job)["base file f-base"] == "C|CU"


async def test_an_active_commit_is_a_mirror_into_what_is_below(graph, tower, job):
    graph.set_read_only(tower["base"], read_only=False)
    what = Committed(tower["top"], [tower["top"], tower["middle"]], tower["base"])
    job_nodes.for_commit(graph, job, what, "f")
    found = edges(graph, job)
    assert found["f backing top"] == "W|CWU"
    assert found["top backing middle"] == "|CWUR"
    assert found["- root base"] == "W|CWU"
    assert found["hd root f"] == "CW|CUR"
    job.settle()
    assert edges(graph, job)["hd root top"] == "CW|CUR"


@pytest.mark.parametrize(
    ("start", "text"),
    [
        (
            job_nodes.for_mirror,
            (
                "Permission conflict on node 'b': permissions 'consistent read, write' are both "
                "required by block device 'other' (uses node 'b' as 'root' child) and unshared by an "
                "unnamed block device (uses node 'b' as 'root' child)."
            ),
        ),
        (
            job_nodes.for_backup,
            (
                "Could not create node: Permission conflict on node 'b': permissions 'write' are both "
                "required by node 'f' (uses node 'b' as 'target' child) and unshared by block device "
                "'other' (uses node 'b' as 'root' child)."
            ),
        ),
    ],
)
async def test_a_target_in_use_is_refused(graph, source, job, start, text):
    drives = Drives(graph)
    drives.attach("d.drive", "b", "other", Use())
    before = edges(graph, job)
    with pytest.raises(QMPError) as caught:
        start(graph, job, source, graph.nodes["b"], "f")
    assert str(caught.value) == text
    assert edges(graph, job) == before
    assert list(graph.nodes) == ["a", "b"]
    assert job.failed == (start is job_nodes.for_mirror)  # QEMU makes a backup's filter first
    drives.close()
