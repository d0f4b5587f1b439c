"""Answers cut to what each recorded QEMU knows."""

import pytest

from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi import shape

NODE = {
    "drv": "file",
    "node-name": "f",
    "active": True,
    "children": [],
    "image": {
        "filename": "/x",
        "limits": {"request-alignment": 1},
        "format-specific": {"type": "file", "data": {}},
    },
}


@pytest.mark.parametrize(
    ("version", "gone"),
    [("11.1", set()), ("7.2", {"active", "children"})],
)
def test_members_that_came_later_are_left_out(version, gone):
    (found,) = shape.answer(
        profiles.load(version).schema.by_name, "query-named-block-nodes", [NODE]
    )
    assert set(NODE) - set(found) == gone


def test_a_branch_that_came_later_goes_as_a_whole():
    entities = profiles.load("7.2").schema.by_name
    (found,) = shape.answer(entities, "query-named-block-nodes", [NODE])
    assert found["image"] == {"filename": "/x"}


def test_members_come_in_the_schemas_order():
    entities = profiles.load("11.1").schema.by_name
    (found,) = shape.answer(entities, "query-named-block-nodes", [NODE])
    assert list(found)[:2] == ["node-name", "drv"]


def test_a_branch_is_told_by_its_tag():
    entities = profiles.load("11.1").schema.by_name
    job = {"type": "mirror", "device": "m", "actively-synced": False}
    other = {**job, "type": "backup"}
    found = shape.answer(entities, "query-block-jobs", [job, other])
    assert ["actively-synced" in each for each in found] == [True, False]
