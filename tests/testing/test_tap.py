"""Machines of tests with a real TAP."""

from __future__ import annotations

import pytest


def has_tap():
    with open("/proc/net/dev") as table:
        return "tap7:" in table.read()


@pytest.mark.parametrize("qemu_sim_mode", ["in-process", "daemon"])
@pytest.mark.parametrize(
    "qemu_sim_argv",
    [
        [
            *("-machine", "q35", "-netdev", "tap,id=net0,ifname=tap7,script=no,downscript=no"),
            *("-device", "virtio-net-pci,id=nic0,netdev=net0"),
        ]
    ],
)
def test_a_tap_moves_and_is_gone_in_the_end(netns, machine_pair):
    source, destination = machine_pair
    assert source.migrate_to(destination).source.devices["nic0"].outcome == "transferred"
    source.close()
    assert has_tap()
    assert destination.close() == []
    assert not has_tap()
