"""Machine types of a profile: their full names, and which are the newest.

QEMU: hw/core/machine.c, qapi/machine.json (MachineInfo)
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from qemu_sim.errors import QMPError

if TYPE_CHECKING:
    from qemu_sim.qapi.profile import Profile


def resolve(profile: Profile, name: str) -> str:
    """Return the full name of a machine type or alias. Raises QMPError in QEMU's words."""
    machine = profile.machines.get(name)
    if machine is None:
        raise QMPError(
            f"unsupported machine type: '{name}'\nUse -machine help to list supported machines"
        )
    full: str = machine["name"]
    return full


@cache
def newest(profile: Profile) -> frozenset[str]:
    """The types that unversioned names such as q35 stand for."""
    return frozenset(machine["name"] for machine in profile.machines.values() if "alias" in machine)
