"""What QMP says of itself, and the machine's name.

QEMU: qapi/control.json, qapi/introspect.json, qapi/misc.json, monitor/qmp-cmds-control.c
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qemu_sim.commands.registry import command
from qemu_sim.wire.json_text import Lasting

if TYPE_CHECKING:
    from qemu_sim.machine.machine import Machine
    from qemu_sim.qapi.schema import Schema

_NO_UUID = "00000000-0000-0000-0000-000000000000"


@command("query-version")
def query_version(machine: Machine) -> dict[str, Any]:
    """Return the profile's version: clients choose their dialect by it."""
    major, minor, micro = machine.profile.version
    return {
        "qemu": {"major": major, "minor": minor, "micro": micro},
        "package": machine.profile.package,
    }


@command("query-name")
def query_name(machine: Machine) -> dict[str, Any]:
    """Return the guest's name, if it has one."""
    return {} if machine.options.name is None else {"name": machine.options.name}


@command("query-uuid")
def query_uuid(machine: Machine) -> dict[str, Any]:
    """Return the UUID, all zero if none was given."""
    return {"UUID": machine.options.uuid or _NO_UUID}


@command("query-commands")
def query_commands(machine: Machine) -> list[dict[str, Any]]:
    """Return the names of the commands that exist, ours behind QEMU's."""
    recorded: list[dict[str, Any]] = machine.profile.section("query-commands")
    known = set(machine.profile.schema.names("command"))
    ours = (name for name in machine.schema.names("command") if name not in known)
    return [*recorded, *({"name": name} for name in ours)]


@command("query-events")
def query_events(machine: Machine) -> list[dict[str, Any]]:
    """Return the names of the events; QEMU dropped the command in 6.0, old clients ask still."""
    return [{"name": name} for name in machine.schema.names("event")]


@command("query-qmp-schema")
def query_qmp_schema(machine: Machine) -> Lasting:
    """Return the profile's schema and our extension: what exists, simulated or not."""
    return _entities(machine.schema)


@lru_cache(maxsize=8)  # more than any process has but one that tries all dialects
def _entities(schema: Schema) -> Lasting:
    return Lasting(schema.entities)
