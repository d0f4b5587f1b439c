"""What qemu-sim adds to QEMU's interface, in introspection form.

schemas/extension.json is there in any case; of schemas/dialect-*.json, ways to ask for a
backend transfer that were proposed for QEMU, a machine has one. Type names are readable
where QEMU's are masked numbers; the two cannot collide, and clients treat both as opaque.
Additions:

    entities         commands, events and types of our own
    members          more members for what a command takes or gives: the place is "arg-type"
                     or "ret-type", and from there on the members that lead to it
    device-property  one more property for the device types that can be handed over
    sim              the settings of the option -sim, as an object type
    integers         what kinds of integers its members are, as in the facts of a profile
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from qemu_sim.qapi.shipped import DIRECTORY

if TYPE_CHECKING:
    from qemu_sim.qapi.schema import Schema

    Entity = dict[str, Any]

DEVICES = "devices"  # the dialect of this project


def merged(schema: Schema, dialect: str = DEVICES) -> Schema:
    """Return the schema with our additions; `schema` stays as it is."""
    entities = dict(schema.by_name)
    for declared in (_declared("extension"), _declared(f"dialect-{dialect}")):
        entities |= {each["name"]: each for each in declared.get("entities", ())}
        for command, additions in declared.get("members", {}).items():
            for place, members in additions.items():
                found = _at(entities, command, place)
                entities[found["name"]] = _with(found, members)
    return type(schema)(entities.values(), schema.facts)


def sim_options(given: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """Check the settings of -sim; a list holds the values of a repeated key.

    Returns them typed, only those given. Raises QMPError in QEMU's words for options.
    """
    if not given:
        return {}
    from qemu_sim.qapi.opts_visitor import OptsVisitor  # noqa: PLC0415 - only with -sim

    declared = _declared("extension")
    entities = {each["name"]: each for each in declared["entities"] + declared["sim"]}
    return OptsVisitor(entities, declared, given).read("SimOptions")


def device_properties(type_name: str, dialect: str = DEVICES) -> list[dict[str, Any]]:
    """Our own properties of a device type, as device-list-properties describes them."""
    declared = _declared(f"dialect-{dialect}").get("device-property")
    if declared is None or type_name not in declared["types"]:
        return []
    return [declared["property"]]


def _at(entities: dict[str, Entity], command: str, place: str) -> Entity:
    """Follow `place` from a command to a type; lists count as what they hold."""
    first, *steps = place.split("/")
    found = entities[entities[command][first]]
    for step in steps:
        variants = {each["case"]: each for each in found.get("variants", ())}
        members = {each["name"]: each for each in found["members"]}
        found = entities[(variants | members)[step]["type"]]
        if found["meta-type"] == "array":
            found = entities[found["element-type"]]
    return found


def _with(entity: Entity, members: list[dict[str, Any]]) -> Entity:
    """Add what is not there yet: what a command takes and gives may be one type."""
    new = [member for member in members if member not in entity["members"]]
    extended = {**entity, "members": entity["members"] + new}
    if "values" in entity:
        extended["values"] = entity["values"] + [member["name"] for member in new]
    return extended


@cache
def _declared(name: str) -> dict[str, Any]:
    with open(os.path.join(DIRECTORY, f"{name}.json"), encoding="utf-8") as file:
        declared: dict[str, Any] = json.load(file)
    return declared
