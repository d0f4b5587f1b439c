"""Which options of a TAP exclude each other, in the words of QEMU 7.2."""

import pytest

from qemu_sim.backends.netdev_tap import NetdevTap
from qemu_sim.errors import QMPError
from qemu_sim.fds import Fd

WITH_FD = "ifname=, script=, downscript=, vnet_hdr=, helper=, queues=, fds=, and vhostfds= are invalid with fd="
WITH_FDS = (
    "ifname=, script=, downscript=, vnet_hdr=, helper=, queues=, and vhostfd= are invalid with fds="
)
WITH_HELPER = (
    "ifname=, script=, downscript=, vnet_hdr=, queues=, and vhostfds= are invalid with helper="
)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fd": "0", "script": "no"}, WITH_FD),
        ({"fd": "0", "fds": "0:1"}, WITH_FD),
        ({"fds": "0", "queues": 1}, WITH_FDS),
        ({"fds": "0", "vhostfd": "1"}, WITH_FDS),
        (
            {"fds": "0", "vhostfds": "1:2"},
            "The number of fds passed does not match the number of vhostfds passed",
        ),
        ({"helper": "/bin/false", "script": "no"}, WITH_HELPER),
        ({"vhostfds": "1"}, "vhostfds= is invalid if fds= wasn't specified"),
        ({"vhost": False, "vhostfd": "1"}, "vhostfd(s)= is not valid without vhost"),
        ({"vhost": True}, "vhost=on is not simulated by qemu-sim"),
        ({"vhostforce": True}, "vhost=on is not simulated by qemu-sim"),
        ({"helper": "/bin/false"}, "helper= of netdev tap is not simulated by qemu-sim"),
        ({"queues": 0}, "queues=0: a TAP has at least one queue"),
    ],
    ids=str,
)
def test_refusals_close_what_was_given(options, text):
    given = [Fd.duplicate(0)] if {"fd", "fds"} & options.keys() else []
    with pytest.raises(QMPError) as caught:
        NetdevTap("net0", options, given)
    assert str(caught.value) == text
    assert all(fd.closed for fd in given)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ifname": "tap0", "script": "no", "downscript": "no"}, None),
        (
            {"ifname": "tap0", "script": "no"},
            "the TAP has a network script; downscript=no is required",
        ),
        (
            {"ifname": "tap0", "downscript": "no"},
            "the TAP has a network script; script=no is required",
        ),
        ({"script": "no", "downscript": "no"}, "the TAP has no ifname="),
    ],
    ids=str,
)
def test_what_may_wait_for_a_hand_over(options, reason):
    netdev = NetdevTap("net0", options)
    assert netdev.transfer_blocker() == reason
    netdev.close()


def test_given_descriptors_do_not_wait():
    netdev = NetdevTap("net0", {"fd": "0"}, [Fd.duplicate(0)])
    assert netdev.transfer_blocker() == "the TAP is given as fd= or fds="
    netdev.close()
