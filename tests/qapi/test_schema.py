"""A schema's limits."""

from __future__ import annotations

import pytest

from qemu_sim.errors import QMPError


def test_arguments_nested_too_deeply_are_an_error_and_no_bug(profile):
    node = {"driver": "null-co"}
    for _ in range(600):
        node = {"driver": "raw", "file": node}
    with pytest.raises(QMPError, match="not simulated by qemu-sim"):
        profile.schema.check_arguments("blockdev-add", {"node-name": "n", **node})
