"""Deprecated and unstable input refused, in the words of QEMU 11.1.3 under -compat."""

import pytest

from qemu_sim.argv.parse import parse
from qemu_sim.argv.report import Report
from qemu_sim.errors import CommandNotFound, QMPError
from qemu_sim.qapi import profile as profiles

THROTTLE = {
    "device": "a",
    **dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0),
}
IGNORE_SHARED = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}
CASES = [
    ("deprecated", "query-kvm", {}, "Deprecated command query-kvm disabled by policy"),
    (
        *("deprecated", "block_set_io_throttle", THROTTLE),
        "Deprecated parameter device disabled by policy",
    ),
    ("unstable", "x-query-irq", {}, "Unstable command x-query-irq disabled by policy"),
    (
        *("unstable", "migrate-set-parameters", {"x-checkpoint-delay": 1}),
        "Unstable parameter x-checkpoint-delay disabled by policy",
    ),
    (
        *("unstable", "migrate-set-capabilities", IGNORE_SHARED),
        "Unstable value x-ignore-shared disabled by policy",
    ),
]


@pytest.mark.parametrize(("feature", "command", "arguments", "error"), CASES)
def test_only_what_has_the_feature_is_refused(feature, command, arguments, error):
    schema = profiles.load("11.1").schema
    (other,) = {"deprecated", "unstable"} - {feature}

    with pytest.raises(QMPError) as caught:
        schema.rejecting(frozenset({feature})).check_arguments(command, arguments)

    assert str(caught.value) == error
    assert isinstance(caught.value, CommandNotFound) == (" command " in error)
    assert schema.check_arguments(command, arguments) == arguments
    assert schema.rejecting(frozenset({other})).check_arguments(command, arguments) == arguments


def test_a_command_without_arguments_stays_refused():
    schema = profiles.load("11.1").schema.rejecting(frozenset({"deprecated"}))
    for _ in range(2):
        with pytest.raises(CommandNotFound):
            schema.check_arguments("query-kvm", {})


@pytest.mark.parametrize(
    ("texts", "rejected"),
    [
        (["deprecated-input=reject"], {"deprecated"}),
        (["deprecated-input=reject,unstable-input=reject"], {"deprecated", "unstable"}),
        (["unstable-input=reject", "unstable-input=accept"], set()),
        (['{"unstable-input": "reject", "unstable-output": "accept"}'], {"unstable"}),
    ],
)
def test_compat(texts, rejected):
    words = [word for text in texts for word in ("-compat", text)]

    assert parse(words, Report("PROG")).rejected == rejected
