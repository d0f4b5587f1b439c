"""The QMP interface a machine really offers: a profile's, our extension, cut to what exists."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from qemu_sim.qapi import extension

if TYPE_CHECKING:
    from qemu_sim.qapi.profile import Profile
    from qemu_sim.qapi.schema import Schema


@cache
def interface(profile: Profile, commands: frozenset[str], *, extensions: bool) -> Schema:
    """Return the schema of those `commands` that the profile or the extension knows."""
    full = extension.merged(profile.schema) if extensions else profile.schema
    return full.restricted_to(commands | {"qmp_capabilities"})


@cache
def migration_statuses(profile: Profile) -> frozenset[str]:
    """Values of MigrationStatus, as the event MIGRATION carries them."""
    by_name = profile.schema.by_name
    event = by_name[by_name["MIGRATION"]["arg-type"]]
    (status,) = (each for each in event["members"] if each["name"] == "status")
    return frozenset(by_name[status["type"]]["values"])
