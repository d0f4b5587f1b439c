"""The validator against what QEMU 7.2 and 11.1 answered to the same arguments."""

import pytest

from qemu_sim.errors import CommandNotFound, QMPError


def complaint(schema, command, arguments):
    try:
        schema.check_arguments(command, arguments)
    except QMPError as error:
        return str(error)
    return None


def test_complains_as_qemu_does(version, profile, read_recorded):
    cases = read_recorded(f"qapi-arguments-{version}.jsonl")
    assert sum(case["error"] is not None for case in cases) > 80
    different = [
        (case, mine)
        for case in cases
        if (mine := complaint(profile.schema, case["execute"], case["arguments"])) != case["error"]
    ]
    assert different == []


def test_takes_minus_one_for_the_largest_unsigned(profile):
    checked = profile.schema.check_arguments("migrate-set-parameters", {"max-bandwidth": -1})
    assert checked == {"max-bandwidth": 2**64 - 1}


def test_an_int_beyond_64_bits_is_no_integer(profile):
    arguments = {"device": "x", "size": 1 << 70}
    expected = "Invalid parameter type for 'size', expected: integer"
    assert complaint(profile.schema, "ringbuf-read", arguments) == expected


def test_returns_all_members_of_a_union_in_a_union(profile):
    arguments = {
        "id": "n0",
        "type": "stream",
        "addr": {"type": "inet", "host": "h", "port": "1"},
        "server": True,
    }
    assert profile.schema.check_arguments("netdev_add", arguments) == arguments


def test_a_type_may_hold_itself(profile):
    node = {"driver": "null-co"}
    for _ in range(20):
        node = {"driver": "raw", "file": node}
    assert profile.schema.check_arguments("blockdev-add", node) == node
    bad = {"driver": "raw", "file": {"driver": "raw", "file": {"driver": "raw", "x": 1}}}
    expected = "Parameter 'file.file.file' is missing"
    assert complaint(profile.schema, "blockdev-add", bad) == expected


def test_any_value_is_kept(profile):
    arguments = {"path": "/a", "property": "b", "value": {"c": [None, 1.5]}}
    assert profile.schema.check_arguments("qom-set", arguments) == arguments


def test_does_not_change_what_it_is_given(profile):
    arguments = {"max-bandwidth": -1}
    profile.schema.check_arguments("migrate-set-parameters", arguments)
    assert arguments == {"max-bandwidth": -1}


def test_no_arguments_at_all(profile):
    for _ in range(2):
        assert profile.schema.check_arguments("query-status", {}) == {}
    assert complaint(profile.schema, "query-status", {"a": 1}) == "Parameter 'a' is unexpected"
    for _ in range(2):
        assert complaint(profile.schema, "device_del", {}) == "Parameter 'id' is missing"


def test_an_unknown_command(profile):
    with pytest.raises(CommandNotFound, match="The command nope has not been found"):
        profile.schema.check_arguments("nope", {})
    with pytest.raises(CommandNotFound):
        profile.schema.check_arguments("STOP", {})
