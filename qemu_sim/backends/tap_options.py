"""Which options of a TAP go together.

QEMU: net/tap.c, net_init_tap
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qemu_sim.errors import QMPError

_OPENING = ("ifname", "script", "downscript", "vnet_hdr", "helper", "queues")


def check_options(options: dict[str, Any], given: int) -> None:
    """Raise QMPError for options that exclude each other, or that are not simulated.

    `given` is the number of descriptors that fd= or fds= stand for.
    """
    if "fd" in options:
        _exclude(options, (*_OPENING, "fds", "vhostfds"), "fd")
    elif "fds" in options:
        _exclude(options, (*_OPENING, "vhostfd"), "fds")
        if "vhostfds" in options and options["vhostfds"].count(":") + 1 != given:
            raise QMPError("The number of fds passed does not match the number of vhostfds passed")
    elif "helper" in options:
        opening = tuple(name for name in _OPENING if name != "helper")
        _exclude(options, (*opening, "vhostfds"), "helper")
    elif "vhostfds" in options:
        raise QMPError("vhostfds= is invalid if fds= wasn't specified")
    _check_simulated(options)
    if options.get("queues", 1) < 1:
        raise QMPError("queues=0: a TAP has at least one queue")
    if bool(given) != ("fd" in options or "fds" in options):
        raise QMPError("fds= names no descriptor")


def _exclude(options: dict[str, Any], names: Sequence[str], chosen: str) -> None:
    if any(name in options for name in names):
        listed = ", ".join(f"{name}=" for name in names[:-1])
        raise QMPError(f"{listed}, and {names[-1]}= are invalid with {chosen}=")


def _check_simulated(options: dict[str, Any]) -> None:
    if options.get("vhost") or options.get("vhostforce"):
        raise QMPError("vhost=on is not simulated by qemu-sim")
    if "vhostfd" in options or "vhostfds" in options:
        raise QMPError("vhostfd(s)= is not valid without vhost")
    for name in ("helper", "br", "poll-us"):
        if name in options:
            raise QMPError(f"{name}= of netdev tap is not simulated by qemu-sim")
