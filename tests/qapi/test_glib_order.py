"""The member that QEMU names first, against 150 objects that each version was sent."""

from qemu_sim.key_order import in_key_order
from qemu_sim.qapi.glib_order import first_left


def test_names_the_member_that_qemu_names(version, read_recorded):
    for case in read_recorded(f"qapi-unexpected-{version}.jsonl"):
        assert first_left(in_key_order(case["names"]), []) == case["unexpected"]


def test_what_was_consumed_is_not_named():
    names = [f"n{number}" for number in range(40)]
    left = first_left(in_key_order(names), names[:-1])
    assert left == names[-1]


def test_every_name_is_found_whatever_the_size_of_the_table():
    names = [f"member-{number}" for number in range(130)]
    known = []
    while len(known) < len(names):
        known.append(first_left(names, known))
    assert sorted(known) == sorted(names)
