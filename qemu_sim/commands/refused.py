"""Commands that find what they are given, and go no further: what they would do is not simulated.

QEMU: blockdev.c, hw/cxl, migration/colo.c

So a wrong name gets QEMU's own answer, and only a right one is told what is missing here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command
from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine

Arguments = dict[str, Any]
Check = Callable[["Machine", Arguments], object]


def _drive_or_node(key: str) -> Check:
    def check(machine: Machine, arguments: Arguments) -> None:
        machine.board.drives.node_of(arguments[key], arguments[key])

    return check


def _node(machine: Machine, arguments: Arguments) -> None:
    machine.board.drives.node_of(None, arguments["node-name"])


def _only_policy(key: str, policy: str, text: str) -> Check:
    def check(_machine: Machine, arguments: Arguments) -> None:
        if arguments[key] != policy:
            raise QMPError(text)
        raise QMPError("Unable to resolve CXL type 3 device")

    return check


def _not_while_running(machine: Machine, _arguments: Arguments) -> None:
    if machine.is_running:
        raise QMPError("Cannot update device state while vm is running")


CHECKS: dict[str, Check] = {
    "cxl-add-dynamic-capacity": _only_policy(
        "selection-policy", "prescriptive", "Selection policy not supported"
    ),
    "cxl-release-dynamic-capacity": _only_policy(
        "removal-policy", "prescriptive", "Removal policy not supported"
    ),
    "x-blockdev-amend": _node,
    "xen-load-devices-state": _not_while_running,
}


def _register(name: str, check: Check) -> None:
    @command(name, raw=True, refused=True)
    def run(machine: Machine, arguments: Arguments) -> None:
        check(machine, arguments)
        raise QMPError(f"not simulated by qemu-sim: {name}")


for _name, _check in CHECKS.items():
    _register(_name, _check)
