"""What qemu-sim adds to QEMU's interface: schemas/extension.json, in introspection form.

Type names are readable where QEMU's are masked numbers; the two cannot collide, and
clients treat both as opaque. Additions:

    entities         commands, events and types of our own
    members          more members for a command's arguments or its result
    device-property  one more property for the device types that can be handed over
    sim              the settings of the option -sim, as an object type
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qemu_sim.qapi.shipped import DIRECTORY

if TYPE_CHECKING:
    from qemu_sim.qapi.schema import Schema


def merged(schema: Schema) -> Schema:
    """Return the schema with our additions; `schema` stays as it is."""
    entities = dict(schema.by_name)
    for command, additions in _declared()["members"].items():
        for key, members in additions.items():
            name = entities[command][key]
            entities[name] = {**entities[name], "members": entities[name]["members"] + members}
    return type(schema)([*entities.values(), *_declared()["entities"]], schema.facts)


def sim_options(given: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """Check the settings of -sim; a list holds the values of a repeated key.

    Returns them typed, only those given. Raises QMPError in QEMU's words for options.
    """
    if not given:
        return {}
    from qemu_sim.qapi.opts_visitor import OptsVisitor  # noqa: PLC0415 - only with -sim

    declared = _declared()
    entities = {each["name"]: each for each in declared["entities"] + declared["sim"]}
    return OptsVisitor(entities, {}, given).read("SimOptions")


def device_properties(type_name: str) -> list[dict[str, Any]]:
    """Our own properties of a device type, as device-list-properties describes them."""
    declared = _declared()["device-property"]
    return [declared["property"]] if type_name in declared["types"] else []


@lru_cache(maxsize=1)
def _declared() -> dict[str, Any]:
    with open(os.path.join(DIRECTORY, "extension.json"), encoding="utf-8") as file:
        declared: dict[str, Any] = json.load(file)
    return declared
