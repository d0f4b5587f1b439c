"""`qemu-sim commands [--hmp]`: which commands of the profile behave here, and which only answer.

A command behaves, answers what was recorded, or does not exist here beyond the check of its
arguments and of what they name: then it fails with "not simulated by qemu-sim: NAME".
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

from qemu_sim.commands import registry
from qemu_sim.commands.hmp import table
from qemu_sim.errors import QMPError
from qemu_sim.qapi import profile as profiles
from qemu_sim.qapi.extension import DEVICES

BEHAVES = "behaves"
RECORDED = "answers from the profile"
MISSING = "not simulated"
_MANY = {
    BEHAVES: "behave",
    RECORDED: "answer from the profile",
    MISSING: "are not simulated",
}

_HMP = "--hmp"
# The session answers it itself: wire/qmp.py.
_SESSION = "qmp_capabilities"


def kinds(profile: profiles.Profile, dialect: str = DEVICES) -> dict[str, str]:
    """Return what each command of the profile and of our extension does, by its name."""
    schema = profile.extended_schema(dialect)
    return {name: _kind(name) for name in sorted(schema.names("command"))}


def kinds_of_hmp(profile: profiles.Profile) -> dict[str, str]:
    """Return what each command of the human monitor does, by its name."""
    recorded = {f"info {name}" for texts in profile.idle_hmp.values() for name in texts}
    registered = table.registered()
    return {
        entry.name: BEHAVES
        if entry.name in registered
        else RECORDED
        if entry.name in recorded
        else MISSING
        for kind in ("help", "info")
        for entry in table.entries(profile, kind)
    }


def main(arguments: Sequence[str]) -> int:
    """Print the list for one profile, the default one if none is named; return the status."""
    named = [each for each in arguments if each != _HMP]
    if len(named) > 1 or any(each.startswith("-") for each in named):
        sys.stderr.write(f"usage: qemu-sim commands [{_HMP}] [PROFILE]\n")
        return 2
    try:
        profile = profiles.load(*named)
        found = kinds_of_hmp(profile) if _HMP in arguments else kinds(profile)
    except QMPError as error:
        sys.stderr.write(f"qemu-sim: {error}\n")
        return 1
    width = max(map(len, found))
    sys.stdout.writelines(f"{name:{width}}  {kind}\n" for name, kind in found.items())
    counts = Counter(found.values())
    summary = ", ".join(f"{counts[kind]} {verb}" for kind, verb in _MANY.items())
    sys.stdout.write(f"{len(found)} commands: {summary}\n")
    return 0


def _kind(name: str) -> str:
    if name == _SESSION:
        return BEHAVES
    command = registry.find(name)
    if command is None or command.is_refused:
        return MISSING
    return RECORDED if command.is_recorded else BEHAVES
