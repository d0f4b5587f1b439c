"""What dump-guest-memory says before it writes: QEMU's words, by version."""

import os

import pytest

from qemu_sim.testing.client import QMPError

NOTHING_BEGUN = "none"


@pytest.fixture(params=["7.2", "11.1"])
def machine(make_machine, request):
    return make_machine("-M", "none", "-sim", f"profile={request.param}")


def refusal(machine, protocol, **arguments):
    given = {"paging": False, **arguments}
    with pytest.raises(QMPError) as error:
        machine.execute("dump-guest-memory", protocol=protocol, **given)
    return error.value.desc


@pytest.mark.parametrize(
    ("protocol", "arguments", "text"),
    [
        ("file:x", {"begin": 0}, "Parameter 'length' is missing"),
        ("file:x", {"length": 1}, "Parameter 'begin' is missing"),
        ("nope", {"format": "kdump-lzo"}, "kdump-lzo is not available now"),
        ("nope", {"format": "kdump-snappy"}, "kdump-snappy is not available now"),
        (
            "nope",
            {"format": "kdump-zlib", "paging": True},
            "kdump-compressed format doesn't support paging or filter",
        ),
        ("fd:x", {}, "File descriptor named 'x' has not been found"),
        ("fd:", {}, "File descriptor named '' has not been found"),
    ],
)
def test_what_both_say(machine, protocol, arguments, text):
    assert refusal(machine, protocol, **arguments) == text
    assert machine.execute("query-dump")["status"] == NOTHING_BEGUN


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("kdump-raw-lzo", "kdump-lzo is not available now"),
        ("win-dmp", "win-dump: no vmcoreinfo note from the guest"),
    ],
)
def test_what_only_a_newer_one_says(make_machine, kind, text):
    assert refusal(make_machine("-M", "none"), "file:x", format=kind) == text


def test_a_name_with_a_zero(machine, tmp_path):
    assert refusal(machine, f"file:{tmp_path}/a\0b") == "dump: no guest memory to dump"
    assert b"a\xc0\x80b" in os.listdir(os.fsencode(tmp_path))
